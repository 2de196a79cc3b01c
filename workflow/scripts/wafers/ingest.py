"""Makes the wafer store and the wafer table from the configured source.

Settings: ``dataset`` (that section of the configuration, but for ``path``), ``seed`` (of simulated wafers). Where the
data lie is the job's ``place``: the same data at another place make the same artifacts.
"""

from waferbench.base.artifacts import write_table
from waferbench.engine.job import Job
from waferbench.wafers.ingest import read_wafers
from waferbench.wafers.ingest.isolated import read_isolated
from waferbench.wafers.ingest.table import WaferSet, require_classes, wafer_table
from waferbench.wafers.simulate.dataset import simulate
from waferbench.wafers.store import WaferStore, write_store


def simulated(settings: dict, classes: list[str], seed: int) -> WaferSet:
    """Wafers that the library draws itself; ids are ``sim-`` and their number."""
    require_classes({name for name, count in settings["counts"].items() if count}, classes, "dataset.simulated.counts")
    maps, names, lots = simulate(seed=seed, **settings)
    return WaferSet(WaferStore.of(maps), list(names), list(lots), [f"sim-{i:06d}" for i in range(len(maps))])


def read_labelled(path: str, dataset: dict) -> tuple[WaferSet, list[str]]:
    return read_wafers(dataset), []


with Job(snakemake) as job:
    dataset = job.settings["dataset"]
    if dataset["source"] == "simulated":
        wafers = simulated(dataset["simulated"], dataset.get("classes", []), job.settings["seed"])
    else:
        wafers = read_isolated(read_labelled, job.place["path"], {**dataset, "path": job.place["path"]})[0]
    table = wafer_table(wafers)
    write_store(snakemake.output.store, wafers.store, job.provenance)
    write_table(snakemake.output.wafers, table, job.provenance)
