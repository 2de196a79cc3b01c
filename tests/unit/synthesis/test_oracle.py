"""The oracle adds wafers that nothing else has seen: reserved ones in a real study, fresh ones in a simulated one."""

import numpy as np
import pytest

from helpers.scripts import run_script
from waferbench.base.artifacts import read_h5, read_provenance, read_table, write_table
from waferbench.base.errors import InputError
from waferbench.base.protocols import protocol
from waferbench.base.scope import Fold
from waferbench.config.study import Drawing, Simulated, Simulator
from waferbench.config.synthesis.stages import DrawOracle
from waferbench.synthesis.oracle import fresh_wafers
from waferbench.wafers.folds import wafers_of
from waferbench.wafers.leakage import fitted_on
from waferbench.wafers.render import render
from waferbench.wafers.simulate.dataset import simulate, simulated_wafers
from waferbench.wafers.splitting import split_table, with_reserve
from waferbench.wafers.store import write_store
from waferbench.wafers.table import canonical_hash, wafer_table

CLASSES = ("Center", "Near-full")
LABELS = ("center", "near-full")
SIMULATED = Simulated(counts={"Center": 40, "Near-full": 20}, wafers_per_lot=6, duplicates=0.1)
WILDCARDS = {"protocol": "cv4", "seed": "3", "scope": "fold1", "source": "oracle"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The files of a small study with a reserve, and its tables."""
    folder = tmp_path_factory.mktemp("study")
    wafers = simulated_wafers(SIMULATED, 3, CLASSES)
    table = wafer_table(wafers)
    plain = split_table(table["wafer_id"].to_numpy(), table["label"].to_numpy(), protocol("cv4"), 42)
    folds = with_reserve(plain, table, 0.4, 42)
    files = {"store": folder / "wafers.h5", "selected": folder / "selected.parquet", "folds": folder / "folds.parquet"}
    write_store(files["store"], wafers.store)
    write_table(files["selected"], table)
    write_table(files["folds"], folds)
    return files


def draw(folder, inputs, **changes):
    """The raw samples that the script writes, by label."""
    given = {"classes": CLASSES, "seed": 3, "render": Drawing(), "n_accepted": 6, "batch": 6, "simulator": None}
    raw = [f"results/s/raw/{label}.h5" for label in LABELS]
    settings = DrawOracle(**{**given, **changes})
    run_script("synthesis/draw_oracle", folder, settings, inputs=inputs, outputs={"samples": raw}, wildcards=WILDCARDS)
    return {label: folder / path for label, path in zip(LABELS, raw, strict=True)}


def maps_of(path):
    found = read_h5(path, ["flat", "offsets", "shapes"])
    parts = np.split(found["flat"], found["offsets"][1:-1])
    return [part.reshape(shape) for part, shape in zip(parts, found["shapes"], strict=True)]


def test_real_wafers_come_out_of_the_reserve_of_the_fold(study, tmp_path):
    selected, folds = read_table(study["selected"]), read_table(study["folds"])
    reserve = wafers_of(selected, folds, Fold(1), "reserve")
    counts = reserve["label"].value_counts()
    assert counts["center"] > 6 > counts["near-full"], "one class fills the pool, the other has fewer"
    for label, path in draw(tmp_path, study).items():
        maps, told = maps_of(path), read_provenance(path)
        mine = reserve[reserve["label"] == label].sort_values("sha256")
        assert len(maps) == min(6, counts[label]) == told["pool"]["accepted"]
        assert told["pool"]["stopped_by"] == ("n_accepted" if label == "center" else "reserve")
        assert [canonical_hash(m) for m in maps] == mine["canonical"].head(6).tolist()
        assert np.array_equal(read_h5(path, ["images"])["images"], render(maps, Drawing()))
        assert told["fitted_on"] == fitted_on(reserve)["fitted_on"] and told["label"] == label
        for split in ("train", "val", "test"):
            others = set(wafers_of(selected, folds, Fold(1), split)["canonical"])
            assert not others & {canonical_hash(m) for m in maps}


def test_a_class_without_a_reserve_is_named(study, tmp_path, capsys):
    selected, folds = read_table(study["selected"]), read_table(study["folds"])
    rare = selected.loc[selected["label"] == "near-full", "wafer_id"]
    left = folds.assign(
        split=folds["split"].mask(folds["wafer_id"].isin(rare) & (folds["split"] == "reserve"), "train")
    )
    write_table(tmp_path / "folds.parquet", left)
    with pytest.raises(SystemExit):
        draw(tmp_path, {**study, "folds": tmp_path / "folds.parquet"})
    assert "oracle: no wafer of class 'near-full' is in reserve; raise oracle.reserve" in capsys.readouterr().err


def test_simulated_wafers_are_fresh_and_repeat_none_of_the_study(study, tmp_path):
    inputs = {"selected": study["selected"]}
    known = set(read_table(study["selected"])["canonical"])
    for name in "ab":
        (tmp_path / name).mkdir()
    simulator = Simulator.of(SIMULATED)
    first, again = (draw(tmp_path / name, inputs, simulator=simulator, n_accepted=30) for name in "ab")
    for label, path in first.items():
        hashes = [canonical_hash(m) for m in maps_of(path)]
        assert len(hashes) == len(set(hashes)) == 30 and not known & set(hashes)
        assert read_provenance(path)["pool"]["stopped_by"] == "n_accepted"
        assert path.read_bytes() == again[label].read_bytes()
    (tmp_path / "c").mkdir()
    other = draw(tmp_path / "c", inputs, simulator=simulator, n_accepted=30, seed=4)
    assert not {canonical_hash(m) for m in maps_of(other["center"])} & {
        canonical_hash(m) for m in maps_of(first["center"])
    }


def test_what_the_study_has_is_drawn_again_until_it_is_new():
    simulator = Simulator(wafers_per_lot=6)
    first = fresh_wafers(CLASSES, 10, simulator, 5, ())
    known = {canonical_hash(m) for m in first["center"][:4]}
    found = fresh_wafers(CLASSES, 10, simulator, 5, known)
    assert all(map(np.array_equal, found["center"][:6], first["center"][4:])) and len(found["center"]) == 10
    assert all(map(np.array_equal, found["near-full"], first["near-full"]))
    assert not known & {canonical_hash(m) for m in found["center"]}


def test_further_wafers_come_after_the_same_first_ones():
    simulator = Simulator(wafers_per_lot=6)
    first, more, most = (fresh_wafers(CLASSES, number, simulator, 5, (), 10) for number in (10, 14, 30))
    for label, maps in more.items():
        assert len(maps) == 14 and all(map(np.array_equal, maps, first[label] + most[label][10:]))
        assert len({canonical_hash(m) for m in most[label]}) == 30


def test_a_simulator_without_further_wafers_ends_with_advice(monkeypatch):
    one = simulate({"Center": 1}, 0)

    def same(counts, *_):
        return [one[0][0]] * sum(counts.values()), ["Center"] * sum(counts.values()), []

    monkeypatch.setattr("waferbench.synthesis.oracle.simulate", same)
    with pytest.raises(InputError, match=r"gave 1 wafers of class 'Center' .*, expected 3; lower pool\.n_accepted"):
        fresh_wafers(("Center",), 3, Simulator(), 5, ())
