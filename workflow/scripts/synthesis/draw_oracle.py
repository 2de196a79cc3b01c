"""Makes the raw pool of the oracle: wafers that nothing else has seen, reserved real ones or fresh simulated ones."""

from waferbench.config.synthesis.stages import DrawOracle
from waferbench.engine.job import Job, run


def draw(job: Job[DrawOracle]) -> None:
    from waferbench.base.artifacts import read_table
    from waferbench.base.names import labels_of
    from waferbench.base.seeds import derive_seed
    from waferbench.images.store import write_images
    from waferbench.synthesis.oracle import fresh_wafers, reserved_wafers
    from waferbench.wafers.folds import RESERVE
    from waferbench.wafers.render import render
    from waferbench.wafers.store import WaferStore
    from waferbench.wafers.training import TrainingWafers

    settings, wanted, made = job.settings, job.settings.n_accepted, job.provenance
    if settings.simulator:
        known = set(read_table(job.input.selected, ["canonical"])["canonical"])
        seed = derive_seed(settings.seed, "oracle", job.scope)
        wafers = fresh_wafers(settings.classes, wanted, settings.simulator, seed, known, settings.batch)
    else:
        reserve = TrainingWafers.read(job.files, job.scope, settings.classes, RESERVE)
        wafers, made = reserved_wafers(reserve, wanted), {**made, **reserve.provenance}
    for label, path in zip(labels_of(settings.classes), job.output.samples, strict=True):
        maps = wafers[label]
        stopped_by = "n_accepted" if len(maps) == wanted else "reserve"
        pool = {"drawn": len(maps), "accepted": len(maps), "stopped_by": stopped_by}
        beside = vars(WaferStore.of(maps))
        write_images(path, render(maps, settings.render), {**made, "label": label, "pool": pool}, beside=beside)


run(draw, snakemake, DrawOracle)
