"""LSWMD.pkl in its legacy and newer forms, and every way in which it can be bad."""

import os
import pickle
import pickletools

import numpy as np
import pandas as pd
import pytest

from helpers import legacy_lswmd
from waferbench.base.errors import InputError
from waferbench.config.stages import Ingest
from waferbench.wafers.ingest import read_wafers
from waferbench.wafers.ingest.lswmd import read_lswmd

NAMES = ["Center", None, "none", "Edge-Ring", "Loc"]


def wafers(names=NAMES):
    rng = np.random.default_rng(0)
    return [
        (rng.integers(0, 3, (5 + i, 7)).astype(np.uint8), name, f"lot{10 + i // 2}") for i, name in enumerate(names)
    ]


@pytest.fixture
def legacy(tmp_path):
    path = tmp_path / "LSWMD.pkl"
    legacy_lswmd.write(path, legacy_lswmd.table(wafers()))
    return path


def check(found):
    expected = [(i, *wafer) for i, wafer in enumerate(wafers()) if wafer[1] is not None]
    assert found.ids == [f"lswmd-{i:06d}" for i, *_ in expected]
    assert found.classes == [name for *_, name, _ in expected]
    assert found.lots == [lot for *_, lot in expected]
    assert len(found.store) == len(expected)
    for got, (_, wafer, _, _) in zip(found.store, expected, strict=True):
        assert got.dtype == np.uint8
        np.testing.assert_array_equal(got, wafer)


def test_legacy_pickle(legacy):
    check(read_lswmd(legacy))


def test_legacy_fixture_is_of_its_time(legacy):
    codes = list(pickletools.genops(legacy.read_bytes()))
    assert codes[0][1] == 2
    names = {argument for code, argument, _ in codes if code.name == "GLOBAL"}
    assert {
        "pandas.core.frame DataFrame",
        "pandas.core.internals BlockManager",
        "pandas.indexes.base _new_Index",
        "pandas.indexes.base Index",
        "numpy.core.multiarray _reconstruct",
    } <= names
    assert not {code.name for code, _, _ in codes} & {"BINUNICODE", "SHORT_BINUNICODE", "BINBYTES"}
    assert b"cpandas.indexes.base\n_new_Index\n" in legacy.read_bytes()


def test_legacy_fixture_opens_in_pandas(legacy):
    frame = legacy_lswmd.read_with_pandas(legacy)
    assert list(frame.columns) == list(legacy_lswmd.COLUMNS)
    for (wafer, name, lot), (_, row) in zip(wafers(), frame.iterrows(), strict=True):
        np.testing.assert_array_equal(row["waferMap"], wafer)
        assert row["lotName"] == lot
        assert row["failureType"].tolist() == ([] if name is None else [[name]])


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("cell", ["array", "text", "string"])
def test_today_pickle(tmp_path, protocol, cell):
    columns = legacy_lswmd.table(wafers())
    if cell != "array":
        columns["failureType"] = list(NAMES)
    frame = pd.DataFrame(columns)
    if cell == "string":
        frame = frame.astype({"failureType": "string", "lotName": "string"})
    frame.to_pickle(tmp_path / "LSWMD.pkl", protocol=protocol)
    check(read_lswmd(tmp_path / "LSWMD.pkl"))


def test_missing_lots_and_other_columns(tmp_path):
    frame = pd.DataFrame(legacy_lswmd.table(wafers())).drop(columns=["lotName", "dieSize"])
    frame.to_pickle(tmp_path / "a.pkl")
    assert read_lswmd(tmp_path / "a.pkl").lots == [""] * 4


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_truncated(legacy, share):
    raw = legacy.read_bytes()
    legacy.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(InputError, match=r"LSWMD\.pkl: not a readable pickle .*download"):
        read_lswmd(legacy)


@pytest.mark.parametrize("raw", [b"", b"hello, wafers", b"\x89PNG\r\n\x1a\n"])
def test_not_a_pickle(tmp_path, raw):
    path = tmp_path / "a.pkl"
    path.write_bytes(raw)
    with pytest.raises(InputError, match="not a readable pickle"):
        read_lswmd(path)


def test_other_content(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"waferMap": 1}))
    with pytest.raises(InputError, match="holds a dict, expected a pandas data frame"):
        read_lswmd(path)


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_forbidden_global_is_named_and_not_run(tmp_path):
    path, mark = tmp_path / "a.pkl", tmp_path / "mark"
    path.write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(InputError, match=r"posix\.mkdir"):
        read_lswmd(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "name", ["builtins\neval", "numpy\nload", "pandas\nread_pickle", "numpy.core.multiarray\nfromfile", "os\nsystem"]
)
def test_forbidden_names(tmp_path, name):
    path = tmp_path / "a.pkl"
    path.write_bytes(b"c" + name.encode() + b"\n(tR.")
    with pytest.raises(InputError, match=name.replace("\n", ".")):
        read_lswmd(path)


@pytest.mark.parametrize("column", ["waferMap", "failureType"])
def test_lacks_a_column(tmp_path, column):
    columns = legacy_lswmd.table(wafers())
    del columns[column]
    legacy_lswmd.write(tmp_path / "a.pkl", columns)
    with pytest.raises(InputError, match=f"no column '{column}'; it has .*lotName"):
        read_lswmd(tmp_path / "a.pkl")


def test_unknown_label(tmp_path):
    legacy_lswmd.write(tmp_path / "a.pkl", legacy_lswmd.table(wafers(["Center", "Centre", "Spiral", "Spiral"])))
    with pytest.raises(InputError, match=r"'Centre' \(1 wafers\), 'Spiral' \(2 wafers\), expected Center"):
        read_lswmd(tmp_path / "a.pkl")


def test_all_unlabelled(tmp_path):
    legacy_lswmd.write(tmp_path / "a.pkl", legacy_lswmd.table(wafers([None, None])))
    with pytest.raises(InputError, match="none of 2 wafers has a label"):
        read_lswmd(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("wafer", "message"),
    [
        (np.full((3, 3), 7, np.uint8), "row 1, column 'waferMap': found the die value 7"),
        (np.zeros((0, 3), np.uint8), r"row 1, column 'waferMap': found a map of shape \(0, 3\)"),
        (np.zeros((3, 3), np.uint8), "row 1, column 'waferMap': found no die"),
    ],
)
def test_bad_map(tmp_path, wafer, message):
    rows = [*wafers(["Center"]), (wafer, "Loc", "lot1")]
    legacy_lswmd.write(tmp_path / "a.pkl", legacy_lswmd.table(rows))
    with pytest.raises(InputError, match=message):
        read_lswmd(tmp_path / "a.pkl")


def test_missing_file_and_class(tmp_path, legacy):
    settings = Ingest(source="lswmd")
    with pytest.raises(InputError, match=r"dataset\.path: .*nowhere\.pkl is not there"):
        read_wafers(tmp_path / "nowhere.pkl", settings)
    with pytest.raises(InputError, match=r"is a folder, expected the lswmd file"):
        read_wafers(tmp_path, settings)
    with pytest.raises(InputError, match=r"'Donut' not found in .*holds 'Center', 'Edge-Ring', 'Loc', 'none'"):
        read_wafers(legacy, Ingest(source="lswmd", classes=("Center", "Donut")))
    check(read_wafers(str(legacy), Ingest(source="lswmd", classes=("Center", "Loc"))))
