"""The .npz and folder sources, the checks on maps, and the wafer table."""

import hashlib
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from waferbench.base.errors import InputError
from waferbench.base.tables import WAFERS
from waferbench.config.stages import Ingest
from waferbench.wafers.ingest import read_unlabelled, read_wafers
from waferbench.wafers.store import WaferStore, open_store, read_store, write_store
from waferbench.wafers.table import (
    WaferSet,
    as_map,
    canonical_hash,
    fold_groups,
    map_hash,
    select_wafers,
    wafer_table,
)

REAL = Path(__file__).parents[3] / "../shared/data/wm811k/wm811k_labelled.npz"
MAPS = [
    np.random.default_rng(i).integers(0, 3, shape).astype(np.uint8) for i, shape in enumerate([(4, 5), (6, 3), (2, 2)])
]


def arrays(**changes):
    store = WaferStore.of(MAPS)
    result = {
        "flat": store.flat,
        "offsets": store.offsets,
        "shapes": store.shapes,
        "label": np.array([1, 0, 1], np.int8),
        "classes": np.array(["Loc", "none"]),
    }
    return {name: value for name, value in {**result, **changes}.items() if value is not None}


def npz(tmp_path, **changes):
    np.savez(tmp_path / "a.npz", **arrays(**changes))
    return tmp_path / "a.npz", Ingest(source="npz", classes=("Loc",))


def test_npz(tmp_path):
    wafers = read_wafers(*npz(tmp_path))
    assert wafers.classes == ["none", "Loc", "none"]
    assert wafers.ids == ["npz-000000", "npz-000001", "npz-000002"]
    assert wafers.lots == ["", "", ""]
    for got, expected in zip(wafers.store, MAPS, strict=True):
        np.testing.assert_array_equal(got, expected)
    assert read_wafers(*npz(tmp_path, lot=np.array(["a", "b", "a"]))).lots == ["a", "b", "a"]


def changed(name, index, value):
    array = np.array(arrays()[name])
    array[index] = value
    return {name: array}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": None}, r"no array 'label'; it holds"),
        ({"offsets": np.array([0, 20, 37, 42])}, r"offsets\[2\] is 37, expected 38 by 'shapes'"),
        ({"offsets": np.array([0, 20, 38])}, r"expected \(dies,\), \(3, 2\), \(4,\) for 3 labels"),
        ({"flat": arrays()["flat"][:-1]}, "'flat' holds 41 dies, expected 42"),
        (changed("flat", 25, 3), "wafer 1 holds the die value 3, expected 0"),
        (
            {"flat": arrays()["flat"].astype(np.int8) - (np.arange(42) == 40) * np.int8(9)},
            "wafer 2 holds the die value -",
        ),
        ({"flat": np.where(np.arange(42) < 38, 1, 0)}, "wafer 2 has no die"),
        (changed("shapes", 2, [0, 4]), r"wafer 2 has the shape \(0, 4\)"),
        (changed("label", 1, 2), r"label\[1\] is 2, expected 0 to 1"),
        (changed("label", 1, -1), r"label\[1\] is -1"),
        ({"flat": np.where(np.arange(42) == 3, np.nan, 1.0)}, "'flat' has type float64, expected whole numbers"),
        ({"classes": np.array(["Loc", None], dtype=object)}, "array 'classes' cannot be read .*no objects"),
        ({"lot": np.array(["a"])}, "array 'lot' has shape"),
        ({"classes": np.array(["Spot", "none"])}, "dataset.classes: 'Loc' not found in .*holds 'Spot', 'none'"),
    ],
)
def test_bad_npz(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        read_wafers(*npz(tmp_path, **changes))


def test_damaged_npz(tmp_path):
    path, settings = npz(tmp_path)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(InputError, match=r"not a readable \.npz"):
        read_wafers(path, settings)
    with open(path, "wb") as file:
        np.save(file, MAPS[0])
    with pytest.raises(InputError, match=r"found a single \.npy array"):
        read_wafers(path, settings)
    path.unlink()
    with pytest.raises(InputError, match="is not there, expected the npz file"):
        read_wafers(path, settings)


def test_unknown_source(tmp_path):
    with pytest.raises(InputError, match=r"dataset\.source: 'csv' is none of lswmd, npz, folder"):
        read_wafers(tmp_path, Ingest(source="csv"))


def put(folder, name, wafer, levels=(0, 128, 255)):
    folder.mkdir(exist_ok=True, parents=True)
    Image.fromarray(np.array(levels, np.uint8)[wafer]).save(folder / name)


FOLDER = Ingest(source="folder")


def test_folder(tmp_path):
    names = ["Edge Ring; 'new'", 'quo"te', "-a b", "Überätzt 圆"]
    put(tmp_path / names[0], "b.png", MAPS[0])
    put(tmp_path / names[1], "a.PNG", MAPS[1], (0, 127, 255))
    put(tmp_path / names[2], "a.png", MAPS[2], (0, 1, 2))
    (tmp_path / names[3]).mkdir()
    np.save(tmp_path / names[3] / "a.npy", MAPS[0].astype(float))
    (tmp_path / names[3] / "notes.txt").write_text("not a map")
    (tmp_path / ".hidden").mkdir()
    wafers = read_wafers(tmp_path, Ingest(source="folder", classes=tuple(names)))
    found = {name: (id_, m) for name, id_, m in zip(wafers.classes, wafers.ids, wafers.store, strict=True)}
    assert set(found) == set(names)
    for name, expected in zip(names, [*MAPS, MAPS[0]], strict=True):
        np.testing.assert_array_equal(found[name][1], expected)
    assert found[names[2]][0] == "-a b/a.png"
    table = wafer_table(wafers)
    assert table["label"].nunique() == 4
    assert table["label"].str.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*").all()


def test_what_is_passed_over_is_told_in_one_line(tmp_path, capfd):
    put(tmp_path / "Loc", "a.png", MAPS[0])
    read_wafers(tmp_path, FOLDER)
    assert "passed over" not in capfd.readouterr().err
    for name in ("README.md", ".DS_Store", "Loc/._a.png"):
        (tmp_path / name).write_text("of no account")
    wafers = read_wafers(tmp_path, FOLDER)
    (line,) = {line for line in capfd.readouterr().err.splitlines() if "passed over" in line}
    assert line == f"{tmp_path}: passed over 3 files of other kinds than .npy, .png, for instance '.DS_Store'"
    assert wafers.ids == ["Loc/a.png"]


def test_ones_own_wafers_stand_before_those_of_classes(tmp_path):
    put(tmp_path / "A", "a.png", MAPS[0])
    put(tmp_path, "b.png", MAPS[1])
    (tmp_path / "n.txt").write_text("of no account")
    wafers, _ = read_unlabelled(tmp_path)
    assert wafers.ids == ["b.png", "A/a.png"] and wafers.classes == ["", "A"]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.parametrize("name", ["a.npz", "a.csv", "a.pkl", "a.xml"])
def test_what_is_no_file_is_named_and_not_waited_for(tmp_path, make, name):
    make(tmp_path / name)
    source = {".npz": "npz", ".csv": "dielist", ".pkl": "lswmd", ".xml": "g85"}[Path(name).suffix]
    told = f"{name}: found a (named pipe|device)"
    with pytest.raises(InputError, match=told):
        read_wafers(tmp_path / name, Ingest(source=source))
    with pytest.raises(InputError, match=told):
        read_unlabelled(tmp_path / name)


def test_a_pipe_among_maps_is_named(tmp_path):
    put(tmp_path / "Loc", "a.png", MAPS[0])
    os.mkfifo(tmp_path / "Loc" / "b.png")
    with pytest.raises(InputError, match=r"b\.png: found a named pipe"):
        read_wafers(tmp_path, FOLDER)


def test_a_flipped_bit_of_an_image_is_refused_or_does_no_harm(tmp_path):
    put(tmp_path / "Loc", "a.png", MAPS[0])
    file = tmp_path / "Loc" / "a.png"
    content, refused = file.read_bytes(), 0
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        try:
            np.testing.assert_array_equal(read_wafers(tmp_path, FOLDER).store[0], MAPS[0])
        except InputError:
            refused += 1
    assert refused > 4 * len(content)


def test_colour_modes_of_greys(tmp_path):
    put(tmp_path / "a", "grey.png", MAPS[0])
    with Image.open(tmp_path / "a" / "grey.png") as image:
        for mode in ("RGB", "RGBA", "P", "LA"):
            image.convert(mode).save(tmp_path / "a" / f"{mode}.png")
    for wafer in read_wafers(tmp_path, FOLDER).store:
        np.testing.assert_array_equal(wafer, MAPS[0])


def grey_ramp(path):
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(path / "ramp.png")


def coloured(path):
    Image.fromarray(np.tile(np.uint8([[[255, 0, 0]]]), (4, 4, 1))).save(path / "red.png")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda f: None, r"Loc: no \.png or \.npy file"),
        (lambda f: (f / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n rubbish"), r"x\.png: not a readable PNG"),
        (lambda f: (f / "x.png").write_bytes(b"P5 1 1 255 a"), r"x\.png: not a readable PNG"),
        (grey_ramp, r"ramp\.png: found 256 grey levels \(0, 1, 2, 3, 4, 5, \.\.\.\)"),
        (lambda f: put(f, "x.png", MAPS[0], (0, 100, 200)), r"x\.png: found 3 grey levels \(0, 100, 200\)"),
        (coloured, r"red\.png: found colours"),
        (lambda f: (f / "x.jpg").write_bytes(b""), r"x\.jpg: found an image of type \.jpg"),
        (lambda f: np.save(f / "x.npy", np.array([[1, np.nan]])), r"x\.npy: found NaN"),
        (lambda f: np.save(f / "x.npy", np.array([[1, 0.5]])), r"x\.npy: found the die value 0\.5"),
        (lambda f: np.save(f / "x.npy", np.array([[1, -1]])), r"x\.npy: found the die value -1"),
        (lambda f: np.save(f / "x.npy", np.array([1, 2])), r"x\.npy: found a map of shape \(2,\)"),
        (lambda f: np.save(f / "x.npy", np.zeros((2, 0))), r"x\.npy: found a map of shape \(2, 0\)"),
        (lambda f: np.save(f / "x.npy", np.zeros((2, 2))), r"x\.npy: found no die"),
        (lambda f: np.save(f / "x.npy", np.array([["1"]])), r"x\.npy: found dies of type <U1"),
        (lambda f: np.save(f / "x.npy", np.array([[1, None]])), r"x\.npy: not a readable array of numbers"),
        (lambda f: (f / "x.npy").write_bytes(b"\x93NUMPY"), r"x\.npy: not a readable array"),
    ],
)
def test_bad_folder(tmp_path, write, message):
    put(tmp_path / "Center", "a.png", MAPS[0])
    (tmp_path / "Loc").mkdir()
    write(tmp_path / "Loc")
    with pytest.raises(InputError, match=message):
        read_wafers(tmp_path, FOLDER)


def test_folder_without_classes(tmp_path):
    with pytest.raises(InputError, match="no class folders"):
        read_wafers(tmp_path, FOLDER)
    with pytest.raises(InputError, match="is not there, expected a folder"):
        read_wafers(tmp_path / "nowhere", FOLDER)
    put(tmp_path / "Center", "a.png", MAPS[0])
    with pytest.raises(InputError, match=r"'Loc', 'Donut' not found in .*it holds 'Center'"):
        read_wafers(tmp_path, Ingest(source="folder", classes=("Center", "Loc", "Donut")))


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
def test_folder_name_not_utf8(tmp_path):
    try:
        os.mkdir(os.fsencode(tmp_path) + b"/\xff")
    except OSError:
        pytest.skip("the file system refuses such names")
    with pytest.raises(InputError, match="is not UTF-8"):
        read_wafers(tmp_path, FOLDER)


def test_as_map_accepts_what_means_the_same():
    for kind in (np.uint8, np.int64, np.float32, bool):
        result = as_map(np.eye(3).astype(kind), "x")
        assert result.dtype == np.uint8
        np.testing.assert_array_equal(result, np.eye(3))


def symmetries(m):
    return [np.rot90(image, k) for image in (m, m.T) for k in range(4)]


@pytest.mark.parametrize("shape", [(4, 4), (3, 6), (6, 3), (1, 5), (1, 1)])
def test_canonical_hash(shape):
    rng = np.random.default_rng(1)
    wafer = rng.integers(0, 3, shape).astype(np.uint8)
    assert {canonical_hash(image) for image in symmetries(wafer)} == {canonical_hash(wafer)}
    smallest = min(symmetries(wafer), key=lambda m: (m.shape, m.tobytes()))
    assert canonical_hash(wafer) == map_hash(smallest)
    other = wafer.copy()
    other[0, 0] = (other[0, 0] + 1) % 3
    if wafer.size > 1:
        expected = any(np.array_equal(image, other) for image in symmetries(wafer))
        assert (canonical_hash(other) == canonical_hash(wafer)) == expected


def test_hash_knows_the_shape():
    wafer = MAPS[0]
    assert map_hash(wafer) == hashlib.sha256(b"4,5\n" + wafer.tobytes()).hexdigest()
    assert len({map_hash(wafer), map_hash(wafer.reshape(5, 4)), map_hash(wafer.reshape(2, 10))}) == 3


def table_of(maps, classes, lots=None, ids=None):
    n = len(maps)
    return wafer_table(WaferSet(WaferStore.of(maps), classes, lots or [""] * n, ids or [f"w{i}" for i in range(n)]))


def test_wafer_table(tmp_path):
    table = table_of([MAPS[0], MAPS[0][::-1], MAPS[1]], ["Edge-Ring", "Edge-Ring", "none"], ["l1", "l2", ""])
    assert tuple(table.columns) == WAFERS
    assert table["label"].tolist() == ["edge-ring", "edge-ring", "none"]
    assert table["dies"].tolist() == [(m > 0).sum() for m in (MAPS[0], MAPS[0], MAPS[1])]
    assert table["failing_dies"].tolist() == [(m == 2).sum() for m in (MAPS[0], MAPS[0], MAPS[1])]
    assert table[["rows", "columns"]].to_numpy().tolist() == [[4, 5], [4, 5], [6, 3]]
    assert table["sha256"].nunique() == 3
    assert table["canonical"][0] == table["canonical"][1] != table["canonical"][2]
    write_store(tmp_path / "w.h5", WaferStore.of(MAPS))
    assert map_hash(read_store(tmp_path / "w.h5")[0]) == table["sha256"][0]


def test_wafer_table_refuses_twins():
    with pytest.raises(InputError, match="wafer id 'a' stands for 2 wafers"):
        table_of(MAPS[:2], ["x", "y"], ids=["a", "a"])
    with pytest.raises(InputError, match="both become 'a-b'"):
        table_of(MAPS[:2], ["A b", "a-B"])


def test_select_wafers():
    maps = [np.random.default_rng(i).integers(0, 3, (5, 5)).astype(np.uint8) for i in range(30)]
    table = table_of(maps, ["Loc", "none", "Center"] * 10)
    assert select_wafers(table, ["Center", "Loc"])["wafer_id"].tolist() == [f"w{i}" for i in range(30) if i % 3 != 1]
    few = select_wafers(table, ["Center", "Loc"], max_per_class=4)
    assert few["class"].value_counts().to_dict() == {"Center": 4, "Loc": 4}
    assert few["row"].is_monotonic_increasing
    shuffled = select_wafers(table.sample(frac=1, random_state=0), ["Center", "Loc"], max_per_class=4)
    assert set(shuffled["wafer_id"]) == set(few["wafer_id"])
    ranked = table[table["class"] == "Loc"].sort_values("sha256")["wafer_id"].head(4)
    assert set(few[few["class"] == "Loc"]["wafer_id"]) == set(ranked)
    with pytest.raises(InputError, match="'Donut' not found"):
        select_wafers(table, ["Donut"])


def test_fold_groups():
    table = table_of([MAPS[0], MAPS[0].T, MAPS[1]], ["a", "a", "b"], ["l1", "l1", ""])
    assert fold_groups(table, "none") is None
    groups = fold_groups(table, "duplicates")
    assert groups[0] == groups[1] != groups[2]
    assert fold_groups(table.iloc[:2], "lots").tolist() == ["l1", "l1"]
    with pytest.raises(InputError, match=r"1 of 3 wafers have no lot, the first is 'w2'"):
        fold_groups(table, "lots")
    with pytest.raises(InputError, match=r"found the group .wafers."):
        fold_groups(table, "wafers")


@pytest.mark.real
@pytest.mark.skipif(not REAL.exists(), reason=f"no real wafers at {REAL}")
def test_real_npz():
    wafers = read_wafers(REAL, Ingest(source="npz", classes=("Near-full", "Loc")))
    table = wafer_table(wafers)
    assert len(table) == 62248
    assert table["class"].value_counts()["Near-full"] == 149
    defects = table[table["class"] != "none"]
    assert table["sha256"].nunique() == 62053
    assert defects["sha256"].nunique() == 25425
    assert (table.groupby("sha256")["class"].nunique() > 1).sum() == 12


def test_an_opened_store_reads_what_is_asked_for(tmp_path):
    store = WaferStore.of(MAPS)
    write_store(tmp_path / "w.h5", store)
    opened = open_store(tmp_path / "w.h5")
    assert isinstance(opened.flat, h5py.Dataset) and len(opened) == len(MAPS)
    for got, wafer in zip(opened.take([2, 0, 2]), (MAPS[2], MAPS[0], MAPS[2]), strict=True):
        np.testing.assert_array_equal(got, wafer)
    (tmp_path / "torn.h5").write_bytes(b"no HDF5")
    with pytest.raises(InputError, match=r"torn\.h5: not a readable store"):
        open_store(tmp_path / "torn.h5")
