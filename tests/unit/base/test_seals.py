"""Every artifact carries its own digest: any change is seen, named, and undone by making it again."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from waferbench.base import artifacts
from waferbench.base.errors import InputError
from waferbench.base.seals import BLANK, describe, seal, verify

FACTS = {"rule": "train", "settings": {"text": "ä" * 300}}
WRITERS = {
    "x.h5": lambda path: artifacts.write_h5(path, {"a": np.arange(999), "s": np.array(["b", "c"])}, FACTS),
    "x.parquet": lambda path: artifacts.write_table(path, pd.DataFrame({"a": np.arange(50)}), FACTS),
    "x.json": lambda path: artifacts.write_json(path, {"a": [1, 2]}, FACTS),
    "x.safetensors": lambda path: artifacts.write_weights(path, {"w": torch.arange(9.0)}, FACTS),
}


@pytest.mark.parametrize("name", WRITERS)
def test_an_untouched_artifact_is_accepted_wherever_it_lies(name, tmp_path):
    WRITERS[name](tmp_path / name)
    verify(shutil.copy(tmp_path / name, tmp_path / f"copy-{name}"))


@pytest.mark.parametrize("name", WRITERS)
def test_every_flipped_bit_is_seen(name, tmp_path):
    path = tmp_path / name
    WRITERS[name](path)
    content = path.read_bytes()
    for at in np.random.default_rng(0).choice(len(content), min(200, len(content)), replace=False):
        damaged = bytearray(content)
        damaged[at] ^= 1 << int(at) % 8
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=f"{name}: damaged: .*; delete it .* and have it made again"):
            verify(path)
    path.write_bytes(content)
    verify(path)


@pytest.mark.parametrize("name", WRITERS)
def test_every_missing_end_is_seen(name, tmp_path):
    path = tmp_path / name
    WRITERS[name](path)
    content = path.read_bytes()
    for length in (0, 1, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match="damaged"):
            verify(path)


def test_a_folder_is_held_against_the_list_of_its_files(tmp_path):
    folder = tmp_path / "base"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "weights").write_bytes(b"abc")
    artifacts.write_json(folder / "waferbench.json", {"files": describe(folder)})
    verify(folder)
    (folder / "unet" / "more").touch()
    with pytest.raises(InputError, match="unet/more is another file"):
        verify(folder)
    (folder / "unet" / "more").unlink()
    (folder / "unet" / "weights").write_bytes(b"abd")
    with pytest.raises(InputError, match="unet/weights is another file"):
        verify(folder)
    (folder / "unet" / "weights").unlink()
    with pytest.raises(InputError, match="unet/weights is missing"):
        verify(folder)
    (folder / "waferbench.json").unlink()
    with pytest.raises(InputError, match=r"waferbench\.json is missing"):
        verify(folder)


def test_a_file_has_one_place_for_its_digest(tmp_path):
    for text in ("none", BLANK + BLANK):
        (tmp_path / "x").write_text(text)
        with pytest.raises(InputError, match="expected one"):
            seal(tmp_path / "x")
