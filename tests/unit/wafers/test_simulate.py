"""The simulator: contract, determinism, and that each class shows its pattern."""

import hashlib
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from waferbench.base.errors import InputError
from waferbench.config.study import Simulated
from waferbench.wafers.simulate.dataset import CLASSES, simulate, simulated_wafers
from waferbench.wafers.simulate.grids import VARIANTS
from waferbench.wafers.simulate.pretraining import base_wafers
from waferbench.wafers.simulate.shapes import Draw, moved

REAL = Path(__file__).parents[3] / "../shared/data/wm811k/wm811k_labelled.npz"


@pytest.fixture(scope="module")
def drawn():
    maps, names, _ = simulate({name: 60 for name in CLASSES}, seed=5, duplicates=0)
    by_class = defaultdict(list)
    for wafer, name in zip(maps, names, strict=True):
        by_class[name].append(wafer)
    return by_class


def radius(wafer):
    rows, columns = wafer.shape
    y, x = (np.arange(rows) + 0.5) / rows * 2 - 1, (np.arange(columns) + 0.5) / columns * 2 - 1
    return np.hypot(y[:, None], x[None])


def failing(wafer, low=0.0, high=2.0):
    zone = (wafer > 0) & (radius(wafer) >= low) & (radius(wafer) < high)
    return np.mean(wafer[zone] == 2)


def mean_failing(wafers, low=0.0, high=2.0):
    return np.mean([failing(w, low, high) for w in wafers])


def test_counts_types_and_shuffling():
    counts = {"Donut": 7, "none": 30, "Scratch": 5}
    maps, names, lots = simulate(counts, seed=1)
    assert len(maps) == len(names) == len(lots) == 42
    assert {name: names.count(name) for name in counts} == counts
    assert names != sorted(names, key=list(counts).index)
    for wafer in maps:
        assert wafer.dtype == np.uint8 and wafer.ndim == 2 and set(np.unique(wafer)) <= {0, 1, 2}
        assert 22 <= wafer.shape[0] <= 212 and 15 <= wafer.shape[1] <= 204


def test_same_seed_same_wafers_other_seed_others():
    first, second, other = (simulate({"Loc": 20, "Center": 10}, seed=s) for s in (3, 3, 4))
    assert first[1:] == second[1:]
    assert all(np.array_equal(a, b) for a, b in zip(first[0], second[0], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first[0], other[0], strict=True))


def test_lots_share_their_grid_and_have_their_size():
    maps, _, lots = simulate({"none": 95, "Edge-Loc": 30}, seed=2, wafers_per_lot=10, duplicates=0)
    shapes, masks = defaultdict(set), defaultdict(list)
    for wafer, lot in zip(maps, lots, strict=True):
        shapes[lot].add(wafer.shape)
        masks[lot].append(wafer > 0)
    assert len(shapes) == 13 and all(len(s) == 1 for s in shapes.values())
    assert sorted({lots.count(lot) for lot in shapes}) == [5, 10]
    for lot in shapes:  # one missing test site at most
        assert max(np.sum(mask != masks[lot][0]) for mask in masks[lot]) <= 2


@pytest.mark.parametrize("fraction", [0.0, 0.2])
def test_duplicates_are_copies_within_class_and_lot(fraction):
    maps, names, lots = simulate({"Random": 60, "Near-full": 40}, seed=6, duplicates=fraction, difficulty=2.0)
    keys = [(w.shape, w.tobytes()) for w in maps]
    assert len(keys) - len(set(keys)) == round(fraction * 100)
    owner = defaultdict(set)
    for key, name, lot in zip(keys, names, lots, strict=True):
        owner[key].add((name, lot))
    assert all(len(owners) == 1 for owners in owner.values())
    a, b = next(((i, j) for i, k in enumerate(keys) for j in range(i) if keys[j] == k), (0, 0))
    assert a == b or not np.shares_memory(maps[a], maps[b])


def test_patterns_fail_where_their_names_say(drawn):
    assert mean_failing(drawn["Center"], 0, 0.12) > 2.5 * mean_failing(drawn["Center"], 0.75, 0.9)
    assert mean_failing(drawn["Donut"], 0.35, 0.6) > 1.5 * mean_failing(drawn["Donut"], 0, 0.2)
    assert mean_failing(drawn["Edge-Ring"], 0.95) > 3 * mean_failing(drawn["Edge-Ring"], 0, 0.8)
    assert mean_failing(drawn["Edge-Loc"], 0.9) > 1.5 * mean_failing(drawn["Edge-Loc"], 0, 0.5)
    assert min(failing(w) for w in drawn["Near-full"]) > 0.6
    assert 0.3 < mean_failing(drawn["Random"]) < 0.6
    assert mean_failing(drawn["none"]) < 0.2 < mean_failing(drawn["Random"])


def test_scratch_dies_touch_each_other():
    share = {}
    for name in ("Scratch", "none"):
        maps = simulate({name: 60}, seed=8, difficulty=0.0)[0]
        near = [np.lib.stride_tricks.sliding_window_view(np.pad(w == 2, 1), (3, 3)).sum((2, 3))[w == 2] for w in maps]
        share[name] = np.mean(np.concatenate(near) >= 3)
    assert share["Scratch"] > share["none"] + 0.25


def test_difficulty_zero_is_quieter():
    easy, hard = (simulate({"Edge-Ring": 80}, seed=9, difficulty=d)[0] for d in (0.0, 1.0))
    assert mean_failing(easy, 0, 0.7) < 0.5 * mean_failing(hard, 0, 0.7)


@pytest.mark.parametrize(
    ("counts", "options", "found"),
    [
        ({"Centre": 3}, {}, "'Centre'"),
        ({"Center": -1}, {}, "counts.Center: found -1"),
        ({"Center": 0}, {}, "no wafers"),
        ({"Center": 3}, {"wafers_per_lot": 0}, "wafers_per_lot: found 0"),
        ({"Center": 3}, {"duplicates": 1.0}, "duplicates: found 1.0"),
        ({"Center": 3}, {"difficulty": 9}, "difficulty: found 9"),
    ],
)
def test_bad_settings_are_named(counts, options, found):
    with pytest.raises(InputError, match=found):
        simulate(counts, seed=0, **options)


def test_a_studys_wafers_are_those_of_its_settings():
    settings = Simulated(counts={"none": 5, "Loc": 20, "Donut": 0}, wafers_per_lot=5, duplicates=0.2, difficulty=0.5)
    wafers = simulated_wafers(settings, 3, ("Loc",))
    maps, names, lots = simulate({"Donut": 0, "Loc": 20, "none": 5}, 3, 5, 0.2, 0.5)
    assert wafers.classes == names and wafers.lots == lots, "the order of the counts decides nothing"
    assert all(np.array_equal(a, b) for a, b in zip(wafers.store, maps, strict=True))
    assert wafers.ids[:2] == ["sim-000000", "sim-000001"] and len(wafers.ids) == 25
    with pytest.raises(InputError, match=r"'Donut' not found in dataset\.simulated\.counts; it holds 'Loc', 'none'"):
        simulated_wafers(settings, 3, ("Loc", "Donut"))


@pytest.mark.real
@pytest.mark.skipif(not REAL.exists(), reason="the labelled part of WM-811K is not here")
def test_failing_fractions_are_those_of_real_wafers(drawn):
    with np.load(REAL, allow_pickle=False) as data:
        flat, offsets, shapes, label = (data[k] for k in ("flat", "offsets", "shapes", "label"))
        classes = [str(name) for name in data["classes"]]
    for name in CLASSES:
        rows = np.flatnonzero(label == classes.index(name))
        rows = rows[np.linspace(0, len(rows) - 1, 149).astype(int)]  # the file is ordered: from all of it
        real = np.mean([failing(flat[offsets[i] : offsets[i + 1]].reshape(shapes[i])) for i in rows])
        assert mean_failing(drawn[name]) == pytest.approx(real, abs=0.1), name


def test_the_standard_variant_is_what_it_was():
    maps, names, lots = simulate({name: 40 for name in CLASSES}, seed=11)
    made = hashlib.sha256(repr((names, lots, [wafer.shape for wafer in maps])).encode())
    assert made.hexdigest()[:16] == "8cb7b27bce825335"
    # a die may fall on the other side of its threshold where another processor rounds otherwise
    assert sum(int((wafer == 2).sum()) for wafer in maps) == pytest.approx(181250, abs=5)


def test_elsewhere_has_other_grids_and_other_patterns():
    shapes = {name: {tuple(row) for row in variant.grids[:, :2]} for name, variant in VARIANTS.items()}
    turned = {(columns, rows) for rows, columns in shapes["elsewhere"]}
    assert not shapes["standard"] & (shapes["elsewhere"] | turned)
    here, there = (simulate({"Center": 150}, 3, variant=name)[0] for name in VARIANTS)
    assert {wafer.shape for wafer in there} <= shapes["elsewhere"]
    assert mean_failing(there, 0.45, 0.7) > mean_failing(here, 0.45, 0.7) + 0.03, "larger centers"


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (0.2, 0.8, (0.38, 0.98)),
        (0.5, 1.0, (0.35, 0.85)),  # a rate stays one
        (0.0, 0.9, (0.0, 0.63)),
        (0.8, 2.0, (1.16, 2.36)),
    ],
)
def test_ranges_move_by_a_share_of_their_width(low, high, expected):
    assert moved(low, high, 0.3) == pytest.approx(expected) and moved(low, high, 0.0) == (low, high)
    there = Draw(np.random.default_rng(0), 4000, 1.0, 0.3)
    drawn = there.uniform(low, high)
    assert (drawn.min(), drawn.max()) == pytest.approx(expected, abs=0.01)
    assert (drawn < low).any() or (drawn > high).any() or low == 0, "parameters that the standard has not"


def test_shifted_sizes_deviations_and_odds_are_beyond_the_standard_ones():
    here, there = (Draw(np.random.default_rng(0), 4000, 1.0, shift) for shift in (0.0, 0.3))
    assert there.log_uniform(0.1, 0.4).max() > here.log_uniform(0.1, 0.4).max() * 1.4
    assert there.normal(1.0).std() == pytest.approx(1.3 * here.normal(1.0).std(), rel=0.05)
    assert there.chance(0.5).mean() > here.chance(0.5).mean() + 0.04
    assert there.chance(1.0).all() and not there.chance(0.0).any()


def test_base_wafers_are_of_all_classes_and_nobodys():
    maps, again = base_wafers(25, 3, "standard"), base_wafers(25, 3, "standard")
    assert len(maps) == 25 and all(np.array_equal(a, b) for a, b in zip(maps, again, strict=True))
    studys, _, _ = simulate({name: 3 for name in CLASSES}, 3)
    assert not {wafer.tobytes() for wafer in maps} & {wafer.tobytes() for wafer in studys}
    assert sum(failing(wafer) > 0.6 for wafer in maps) >= 2, "no Near-full among them"
    with pytest.raises(InputError, match="0 wafers"):
        base_wafers(0, 3, "standard")
    with pytest.raises(InputError, match=r"variant 'mars' .* expected one of standard, elsewhere"):
        base_wafers(9, 3, "mars")
