"""Die lists: a CSV row a die becomes a map a wafer."""

import tracemalloc

import numpy as np
import pytest

from waferbench.base.errors import InputError
from waferbench.config.stages import Ingest
from waferbench.wafers.ingest import dielist as module
from waferbench.wafers.ingest import read_unlabelled, read_wafers
from waferbench.wafers.ingest.dielist import bin_key, read_dielist

LIST = """wafer,x,y,bin
A,-1,5,1
A,0,5,7
A,1,6,1
B,3,3,01
A,-1,7,2
B,4,4,9
"""


def write(tmp_path, text, name="dies.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def test_maps_are_the_boxes_around_the_dies(tmp_path):
    wafers, bins = read_dielist(write(tmp_path, LIST))
    assert wafers.ids == ["A", "B"] and wafers.classes == ["", ""] and wafers.lots == ["", ""]
    np.testing.assert_array_equal(wafers.store[0], [[1, 2, 0], [0, 0, 1], [2, 0, 0]])
    np.testing.assert_array_equal(wafers.store[1], [[1, 0], [0, 2]])
    assert bins == ["2 7", "9"]
    wafers, bins = read_dielist(write(tmp_path, LIST), ["1", "7"])
    assert wafers.store[0][0, 1] == 1 and bins == ["2", "9"]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", "\t"),
        lambda text: "﻿" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("wafer,x,y,bin", " Wafer , X,Y,BIN"),
        lambda text: text.replace(",5,", ",5.0,") + "\n\n",
        lambda text: text.replace("\n", ",more\n"),
        lambda text: text.replace("\n", ',"a, b"\n'),
    ],
    ids=["semicolons", "tabs", "mark", "windows", "capitals", "floats", "another column", "quoted"],
)
def test_ways_to_write_it(tmp_path, change):
    expected, got = read_dielist(write(tmp_path, LIST))[0], read_dielist(write(tmp_path, change(LIST), "b.csv"))[0]
    assert got.ids == expected.ids
    np.testing.assert_array_equal(got.store.flat, expected.store.flat)


def test_lots_and_classes(tmp_path):
    text = "lot,wafer,x,y,bin,class\nL1,7,0,0,1,Loc\nL2,7,0,0,2,\nL1,7,1,0,1,Loc\nL1,8,0,0,3,Donut\n"
    path = write(tmp_path, text)
    wafers, _ = read_dielist(path)
    assert wafers.ids == ["L1/7", "L2/7", "L1/8"] and wafers.lots == ["L1", "L2", "L1"]
    assert wafers.classes == ["Loc", "", "Donut"]
    kept = read_wafers(path, Ingest(source="dielist", classes=("Loc",), pass_bins=("1", "3")))
    assert kept.ids == ["L1/7", "L1/8"] and kept.classes == ["Loc", "Donut"]
    assert kept.store[1].tolist() == [[1]]
    with pytest.raises(InputError, match="none of 2 wafers has a class"):
        read_wafers(write(tmp_path, LIST, "c.csv"), Ingest(source="dielist"))


def test_numbers_that_look_like_texts_stay_texts(tmp_path):
    wafers, _ = read_dielist(write(tmp_path, "wafer,x,y,bin\n007,0,0,A\nNA,0,0,1\n"), ["A"])
    assert wafers.ids == ["007", "NA"] and wafers.store.flat.tolist() == [1, 2]


def test_bins_as_pandas_writes_them_after_an_empty_cell(tmp_path, capsys):
    expected = read_dielist(write(tmp_path, LIST))
    floats = LIST.replace(",1\n", ",1.0\n").replace(",7\n", ",7.0\n").replace(",9\n", ",9.00\n")
    got = read_dielist(write(tmp_path, floats, "b.csv"))
    np.testing.assert_array_equal(got[0].store.flat, expected[0].store.flat)
    assert got[1] == expected[1] and capsys.readouterr().err == ""
    assert read_dielist(write(tmp_path, LIST), [1.0])[1] == expected[1]
    keys = {" 010 ": "10", "0.0": "0", "1.5": "1.5", "1.": "1.", "A0": "A0", "0" * 5000 + "2": "2"}
    assert [bin_key(text) for text in keys] == list(keys.values())


def test_a_file_without_a_passing_die_is_named(tmp_path, capsys):
    wafers, bins = read_dielist(path := write(tmp_path, LIST), ["5", "P"])
    told = f"{path}: all 6 dies fail: their bins are 1, 2, 7, 9, those that pass 5, P; correct dataset.pass_bins\n"
    assert capsys.readouterr().err == told
    assert (wafers.store.flat != 1).all() and bins == ["1 2 7", "1 9"]
    read_dielist(path, ["9"])
    assert capsys.readouterr().err == "", "one die of one wafer passes"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'wafer' in the header; found 'an empty file'|found an empty file"),
        ("wafer,x,y\nA,1,1\n", "no column 'bin' in the header; found 'wafer', 'x', 'y'"),
        ("wafer,x,x,y,bin\nA,1,1,1,1\n", "twice the column 'x'"),
        ("wafer,x,y,bin\n", "no dies under the header"),
        (LIST.replace("A,1,6", "A,?,6"), r"line 4: column 'x' is '\?', expected a whole number"),
        (LIST.replace("A,1,6", "\n\nA,1.5,6"), "line 6: column 'x' is '1.5'"),
        (LIST.replace("A,1,6", "A,inf,6"), "line 4: column 'x' is 'inf'"),
        (LIST.replace("A,1,6,1", "A,1,6,"), "line 4: column 'bin' is empty"),
        (LIST.replace("A,1,6,1", "A,1"), "line 4: column 'y' is empty"),
        ("wafer,x,y,bin\na,1,0,1,9\n", "line 2: 5 cells under a header of 4 columns; name all columns in the header"),
        (LIST.replace("B,4,4,9", "B,4,0,4,0,9"), "line 7: 6 cells under a header of 4 columns"),
        (LIST.replace("A,1,6", "\n\nA,1,6").replace("B,4,4,9", "B,4,4,9,"), "line 9: 5 cells"),
        (LIST.replace("B,4,4,9", '"B,4,4,9'), r"not a readable CSV file \(unexpected end of data"),
        (LIST + "A,0,5,1\n", "wafer 'A': the die at x 0, y 5 has the bins '7' and '1'"),
        (LIST + "A,9000,5,1\n", "wafer 'A' spans 3 x 9002 places but has 5 dies; the farthest is at x 9000, y 5"),
        (LIST + "A,40000,5,1\n", "spans 3 x 40002"),
        ("wafer,x,y,bin,class\nA,0,0,1,Loc\nA,1,0,1,Donut\n", "the classes 'Donut' and 'Loc', expected one"),
    ],
)
def test_bad_lists(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_dielist(write(tmp_path, text))


def test_not_utf8(tmp_path):
    with pytest.raises(InputError, match=r"not a readable CSV file .*UTF-8"):
        read_dielist(write(tmp_path, LIST.replace("A,", "Ä,"), encoding="latin1"))


def test_a_die_twice_with_one_bin_counts_once(tmp_path, capsys):
    wafers, _ = read_dielist(write(tmp_path, LIST + "A,0,5,07\n"))
    assert "1 dies stand there twice" in capsys.readouterr().err
    np.testing.assert_array_equal(wafers.store[0], [[1, 2, 0], [0, 0, 1], [2, 0, 0]])


def test_pieces_of_a_list_make_one(tmp_path, monkeypatch):
    expected = read_dielist(path := write(tmp_path, LIST))
    monkeypatch.setattr(module, "ROWS", 2)
    got = read_dielist(path)
    assert got[1] == expected[1] and got[0].ids == expected[0].ids
    np.testing.assert_array_equal(got[0].store.flat, expected[0].store.flat)
    with pytest.raises(InputError, match="line 7: column 'y' is 'z'"):
        read_dielist(write(tmp_path, LIST.replace("B,4,4", "B,4,z")))


def test_many_dies_in_bounded_memory(tmp_path, monkeypatch):
    """Dies are kept as numbers, 20 bytes each, and texts only piece by piece."""
    side, wafers = 100, 5
    body = "\n".join(f"w{w:02d},{i % side},{i // side},{1 + i % 3}" for w in range(wafers) for i in range(side * side))
    path = write(tmp_path, "wafer,x,y,bin\n" + body + "\n")
    monkeypatch.setattr(module, "ROWS", 2_000)
    read_dielist(write(tmp_path, LIST, "first.csv"))  # imports are no part of it
    tracemalloc.start()
    found, _ = read_unlabelled(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.ids) == wafers and found.store.flat.size == 50_000
    assert peak < 130 * 50_000  # as texts alone they would take 250 bytes a die
