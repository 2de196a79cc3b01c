"""Every kind of source keeps the same promises: it trains, draws, goes on after a kill, repeats its bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest

from helpers.scripts import run_script
from waferbench.base.artifacts import read_h5, read_provenance, write_table
from waferbench.base.names import labels_of
from waferbench.base.protocols import protocol
from waferbench.config.section import Section
from waferbench.config.study import Drawing
from waferbench.config.synthesis import checks, stages
from waferbench.config.synthesis.settings import Pool
from waferbench.config.synthesis.sources import DieBase, DieFlow, DieLora, Gan, Lora, NativeBase, Oracle, Source
from waferbench.learning import runtime, training
from waferbench.synthesis.gan import networks
from waferbench.synthesis.gan import train as gan_training
from waferbench.wafers.simulate.dataset import simulate
from waferbench.wafers.splitting import split_table
from waferbench.wafers.store import WaferStore, write_store
from waferbench.wafers.table import WaferSet, select_wafers, wafer_table

CLASSES = ("Center", "Edge-Ring")
LABELS = labels_of(CLASSES)
POOL = Pool(n_accepted=5, max_raw=5, shard=3)
WILDCARDS = {"protocol": "cv3", "seed": "42", "scope": "fold0", "source": "this"}


@dataclass(frozen=True)
class Step:
    """A script, its settings, and its inputs and outputs by name: files of the source's folder."""

    script: str
    settings: type[Section]
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]

    @property
    def trains(self) -> bool:
        return "samples" not in self.outputs


def each(pattern: str) -> list[str]:
    return [pattern.format(label=label) for label in LABELS]


SAMPLES = {"samples": each("raw/{label}.h5")}
KINDS: dict[type[Section], tuple[Section, list[Step]]] = {
    Gan: (
        Gan(latent=8, generator_channels=[8, 8, 8, 8], discriminator_channels=[8, 8, 8], batch=4, stage1_iterations=6,
            stage2_iterations=4),
        [
            Step("train_gan", stages.TrainGan, {}, {"stage1": "stage1.safetensors", "history": "history.parquet",
                 "generators": each("generators/{label}.safetensors"), "facts": "facts.json"}),
            Step("sample_gan", stages.SampleGan, {"generators": each("generators/{label}.safetensors")}, SAMPLES),
        ],
    ),
    Lora: (
        Lora(rank=2, alpha=2, steps=4, batch=4, sampler_steps=2, native=NativeBase(
            wafers=20, unet_channels=[8, 16], attention_from=1, unet_steps=4)),
        [
            Step("pretrain_base", stages.PretrainBase, {}, {"base": "base", "files": "base.json",
                 "history": "base_history.parquet", "prior": "base_samples.h5"}),
            Step("train_lora", stages.TrainLora, {"base": "base", "base_files": "base.json"},
                 {"adapters": each("adapters/{label}.safetensors"), "history": "adapters_history.parquet"}),
            Step("sample_lora", stages.SampleLora, {"base": "base", "base_files": "base.json",
                 "adapters": each("adapters/{label}.safetensors")}, SAMPLES),
        ],
    ),
    DieLora: (
        DieLora(channels=[8, 8], rank=2, alpha=2, steps=4, batch=4, sampler_steps=2,
                native=DieBase(wafers=20, steps=4, batch=4)),
        [
            Step("pretrain_die_base", stages.PretrainDieBase, {}, {"network": "base.safetensors",
                 "history": "base_history.parquet", "prior": "base_samples.h5"}),
            Step("train_die_lora", stages.TrainDieLora, {"network": "base.safetensors"},
                 {"adapters": each("adapters/{label}.safetensors"), "history": "adapters_history.parquet"}),
            Step("sample_die_lora", stages.SampleDieLora, {"network": "base.safetensors",
                 "adapters": each("adapters/{label}.safetensors")}, SAMPLES),
        ],
    ),
    DieFlow: (
        DieFlow(channels=[8, 8], steps=6, batch=4, sampler_steps=2),
        [
            Step("train_die_flow", stages.TrainDieFlow, {},
                 {"network": "network.safetensors", "history": "history.parquet"}),
            Step("sample_die_flow", stages.SampleDieFlow, {"network": "network.safetensors"}, SAMPLES),
        ],
    ),
}  # fmt: skip
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def test_settings_and_networks_of_the_gan_mean_the_same_sizes():
    assert checks.SEED_EDGE == networks.SEED_EDGE


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> dict[str, Path]:
    """The files of a few simulated wafers: store, selected wafers, folds."""
    folder = tmp_path_factory.mktemp("data")
    maps, names, lots = simulate({name: 24 for name in CLASSES}, seed=1)
    ids = [f"w{i:02d}" for i in range(len(maps))]
    selected = select_wafers(wafer_table(WaferSet(WaferStore.of(maps), names, lots, ids)), CLASSES, 0)
    folds = split_table(selected["wafer_id"].to_numpy(), selected["label"].to_numpy(), protocol("cv3"), 42, None)
    files = {name: folder / name for name in ("store", "selected", "folds")}
    write_store(files["store"], WaferStore.of(maps))
    write_table(files["selected"], selected)
    write_table(files["folds"], folds)
    return files


def run(kind: type[Section], folder: Path, data: Mapping[str, Path]) -> None:
    """All steps of a kind in a folder."""
    source, steps = KINDS[kind]
    folder.mkdir(exist_ok=True)
    for step in steps:
        known = {
            "source": source,
            "seed": 42,
            "classes": CLASSES,
            "render": Drawing(),
            "pool": POOL,
            "base_files": "",
            "variant": "elsewhere",
        }
        fields = step.settings.model_fields
        settings = step.settings.of(**{name: value for name, value in known.items() if name in fields})
        home = Path("results/s/this")
        inputs = {**data, **{name: inside(home, files) for name, files in step.inputs.items()}}
        outputs = {name: inside(home, files) for name, files in step.outputs.items()}
        where = {"inputs": inputs, "outputs": outputs, "wildcards": WILDCARDS}
        run_script(f"synthesis/{step.script}", folder, settings, **where)


def inside(home: Path, files: Any) -> Any:
    return [home / file for file in files] if isinstance(files, list) else home / files


def artifacts(folder: Path) -> dict[str, bytes]:
    files = (path for path in (folder / "results/s/this").rglob("*") if path.is_file() and "shards" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def unbroken(data, tmp_path_factory) -> dict[type[Section], Path]:
    """Each kind's folder after a run from beginning to end."""
    folders = {kind: tmp_path_factory.mktemp(kind.__name__) for kind in KINDS}
    for kind, folder in folders.items():
        run(kind, folder, data)
    return folders


def test_no_kind_is_left_out():
    union, *_ = get_args(Source)
    assert {*KINDS, Oracle} == set(get_args(union)), "a kind of source without its entry here; an oracle trains nothing"


@kinds
def test_it_draws_what_was_asked_for(kind, unbroken):
    for label in LABELS:
        path = unbroken[kind] / f"results/s/this/raw/{label}.h5"
        images = read_h5(path, ["images"])["images"]
        assert images.shape == (POOL.n_accepted, 32, 32) and images.dtype == "uint8"
        told = read_provenance(path)
        assert told["label"] == label and told["pool"]["accepted"] == POOL.n_accepted
        assert told["n_fitted"] == 2 * 24 // 3, "the training wafers of the fold alone"


@kinds
def test_it_writes_the_same_bytes_twice(kind, unbroken, data, tmp_path):
    run(kind, tmp_path, data)
    first, again = artifacts(unbroken[kind]), artifacts(tmp_path)
    assert first.keys() == again.keys() and [name for name in first if first[name] != again[name]] == []


@kinds
def test_it_goes_on_after_a_kill(kind, unbroken, data, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECK_EVERY", 2)
    monkeypatch.setattr(gan_training, "CHECK_EVERY", 2)
    monkeypatch.setattr(runtime, "SAVE_EVERY", 0)
    save, kills = runtime.Checkpoint.save, []

    def dying(self, state):
        save(self, state)
        if self.path not in kills:
            kills.append(self.path)
            raise Killed

    monkeypatch.setattr(runtime.Checkpoint, "save", dying)
    for _ in range(20):
        try:
            run(kind, tmp_path, data)
        except Killed:
            continue
        break
    assert kills, "it never saved a state"
    first, again = artifacts(unbroken[kind]), artifacts(tmp_path)
    assert [name for name in first if first[name] != again[name]] == []
