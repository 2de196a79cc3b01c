"""SEMI G85 maps: the ways that bins are written, and files that contradict themselves."""

import numpy as np
import pytest

from waferbench.base.errors import InputError
from waferbench.config.stages import Ingest
from waferbench.wafers.ingest import read_unlabelled, read_wafers
from waferbench.wafers.ingest.g85 import read_g85

BINS = '<Bin BinCode="1" BinQuality="Pass" BinCount="5"/><Bin BinCode="X" BinQuality="Fail" BinCount="2"/>'
MAP = [[0, 1, 0], [1, 2, 1], [0, 1, 2]]


def text(rows=(".1.", "1X1", ".1X"), device='Rows="3" Columns="3" BinType="Ascii" NullBin="."', bins=BINS, **more):
    wafer = more.get("wafer", 'xmlns="http://www.semi.org" SubstrateType="Wafer" SubstrateId="W1"')
    lines = "\n".join(f"<Row><![CDATA[{row}]]></Row>" for row in rows)
    data = f'<Data MapName="sort" MapVersion="1">{lines}</Data>'
    return f"<Map {wafer}><Device {device}>{bins}{data}</Device></Map>"


def write(tmp_path, *maps, name="a.xml", head='<?xml version="1.0"?>'):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(f"{head}<Maps>{''.join(maps)}</Maps>")
    return path


def test_one_map(tmp_path):
    path = write(tmp_path, text(device='LotId=" L7 " Rows="3" Columns="3" BinType="Ascii" NullBin="."'))
    wafers, bins = read_g85(path)
    assert (wafers.ids, wafers.lots, wafers.classes, bins) == (["W1"], ["L7"], [""], [""])
    np.testing.assert_array_equal(wafers.store[0], MAP)


CODES = [".", "1", "X"]
KINDS = {  # BinType -> off, pass, fail as declared, and as they stand in a row
    "Ascii2": (["..", "01", "F3"], ["..", "01", "F3"], ""),
    "HexaDecimal": (["FF", "1", "1f"], ["FF", "01", "1F"], ""),
    "Decimal": (["255", "1", "31"], ["255", "001", "031"], ""),
    "decimal": (["255", "001", "31"], ["255", "1", "031"], " "),
    "Integer2": (["ffff", "0001", "31"], ["FFFF", "0001", "0031"], ""),
}


@pytest.mark.parametrize("kind", KINDS)
def test_bin_types(tmp_path, kind):
    (null, good, bad), written, joint = KINDS[kind]
    rows = [joint.join(written[value] for value in row) + joint for row in MAP]
    bins = f'<Bin BinCode="{good}" BinQuality="pass"/><Bin BinCode="{bad}" BinQuality="FAIL"/>'
    device = f'Rows="3" Columns="3" BinType="{kind}" NullBin="{null}"'
    wafers, guessed = read_g85(write(tmp_path, text(rows, device, bins)))
    np.testing.assert_array_equal(wafers.store[0], MAP)
    assert guessed == [""]


def test_without_namespace_type_or_counts(tmp_path):
    rows = [" ".join(["255", "001", "007"][value] for value in row) for row in MAP]
    path = write(tmp_path, text(rows, 'NullBin="255"', "", wafer='WaferId="9"'))
    wafers, _ = read_g85(path)
    assert wafers.ids == ["9"]
    np.testing.assert_array_equal(wafers.store[0], MAP)


def test_bins_without_a_quality_are_named_and_fail(tmp_path, capsys):
    bins = '<Bin BinCode="1"/><Bin BinCode="X"/><Bin BinCode="Q"/>'
    wafers, guessed = read_g85(write(tmp_path, text(bins=bins)))
    np.testing.assert_array_equal(wafers.store[0], MAP)
    assert guessed == ["X"]  # Q is declared, but no die has it
    assert "without a BinQuality, counted as failing: X\n" in capsys.readouterr().err
    wafers, guessed = read_g85(write(tmp_path, text(bins=bins)), ["X"])
    assert wafers.store[0].tolist() == [[0, 2, 0], [2, 1, 2], [0, 2, 1]] and guessed == ["1"]


def test_several_maps_and_folders(tmp_path):
    second = text(wafer='SubstrateId="W2"')
    write(tmp_path, text(), second, name="set/a.xml")
    write(tmp_path, text(), name="set/Edge Ring/b.XML")
    wafers, _ = read_unlabelled(tmp_path / "set")
    assert wafers.ids == ["Edge Ring/b.XML:W1", "a.xml:W1", "a.xml:W2"]
    assert wafers.classes == ["Edge Ring", "", ""]
    labelled = read_wafers(tmp_path / "set", Ingest(source="g85", classes=("Edge Ring",)))
    assert labelled.ids == ["Edge Ring/b.XML:W1"]
    with pytest.raises(InputError, match=r"the wafer id 'a.xml:W1' stands for 2 wafers"):
        read_unlabelled(write(tmp_path, text(), text()))


@pytest.mark.parametrize(
    ("kind", "row", "told"),
    [
        ("Decimal", "00000100", "8 characters, no multiple of the 3 that BinType decimal has a die"),
        ("Decimal", "00", "2 characters, no multiple of the 3"),
        ("HexaDecimal", "010", "3 characters, no multiple of the 2"),
        ("Integer2", " 000100 ", "6 characters, no multiple of the 4"),
        ("Ascii2", "01F", "3 characters, no multiple of the 2"),
    ],
)
def test_rows_that_stop_within_a_code(tmp_path, kind, row, told):
    path = write(tmp_path, text([row], f'BinType="{kind}"', ""))
    with pytest.raises(InputError, match=rf"a\.xml: wafer 'W1': row 1 has {told}.*export it again"):
        read_g85(path)


def test_a_single_column_needs_no_zeros_in_front(tmp_path):
    wafers, _ = read_g85(write(tmp_path, text(["1", "7"], 'Columns="1" BinType="Decimal"', "")))
    assert wafers.store[0].tolist() == [[1], [2]]
    with pytest.raises(InputError, match="row 2 has 4 characters"):
        read_g85(write(tmp_path, text(["1", "0007"], 'Columns="1" BinType="Decimal"', "")))


DEVICE = 'Rows="3" Columns="3" BinType="Ascii" NullBin="."'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (text(rows=(".1.", "1X1")), r"a\.xml: wafer 'W1': found 2 rows, expected 3 by Rows"),
        (text(rows=(".1.", "1X11", ".1X")), "wafer 'W1': row 2 has 4 dies of BinType ascii, expected 3 by Columns"),
        (text(rows=("1X1", "1X"), device='BinType="Ascii"'), "row 2 has 2 dies of BinType ascii, expected 3 as in the"),
        (text(rows=(".1.", "1Z1", ".1X")), r"row 2 holds the bin 'Z', the file declares '\.', '1', 'X'; add a Bin"),
        (text(rows=("...", "...", "...")), "wafer 'W1': found no die"),
        (text(device=DEVICE.replace("Ascii", "Octal")), "BinType is 'Octal', expected one of ascii"),
        (text(device=DEVICE.replace("Ascii", "Decimal")), r"row 1: found the bin '\.1\.', expected a decimal"),
        (text(device=DEVICE.replace('"3"', '"three"', 1)), "Rows is 'three', expected a whole number"),
        (text(wafer='SubstrateType="Strip" SubstrateId="S"'), "wafer 'S': SubstrateType is 'Strip', expected Wafer"),
        ('<Map SubstrateId="W1"/>', "found 0 Device elements, expected one"),
        ('<Map WaferId="W1"><Device><Data/></Device></Map>', "no Data with Row elements"),
        ("", "found a 'Maps' without maps"),
        ("<Map>", r"not a readable XML file \(mismatched tag"),
    ],
)
def test_bad_maps(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_g85(write(tmp_path, content))


def test_entities_are_refused_before_they_swell(tmp_path):
    bomb = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 9}">' for i in range(1, 30))
    head = f'<?xml version="1.0"?><!DOCTYPE Maps [<!ENTITY e0 "x">{bomb}]>'
    with pytest.raises(InputError, match=r"a\.xml: found a document type \('Maps'\), expected none"):
        read_g85(write(tmp_path, text(rows=("&e29;",)), head=head))
    outside = '<?xml version="1.0"?><!DOCTYPE Maps [<!ENTITY e SYSTEM "file:///etc/hostname">]>'
    with pytest.raises(InputError, match="document type"):
        read_g85(write(tmp_path, text(), head=outside))


def test_not_xml(tmp_path):
    path = tmp_path / "a.xml"
    path.write_bytes(b"\x89PNG\r\n")
    with pytest.raises(InputError, match="not a readable XML file"):
        read_g85(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no \.xml file"):
        read_g85(tmp_path / "empty")
