"""The check of networks looks for weights where the jobs that use them will look."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.iocontainers import InputFiles, OutputFiles

from waferbench.base.artifacts import read_json

SCRIPT = Path(__file__).parents[3] / "workflow/scripts/tools/check_networks.py"
NETWORK = "test_resnet.r160_in1k"


def check(tmp_path, folder):
    weights = {"manifest": {NETWORK: {}}, "own_file": ""}
    settings = {
        "backbones": {NETWORK: {"name": NETWORK, "pretrained": True, "weights": weights}},
        "sources": {},
        "quality": {"network": NETWORK, "image_size": 64, "weights": weights},
    }
    snakemake = SimpleNamespace(
        params=SimpleNamespace(settings=json.dumps(settings), code="0"),
        config={"machine": {"study": str(tmp_path), "weights": {"folder": folder, "download": False}}},
        wildcards={},
        input=InputFiles(),
        output=OutputFiles(fromdict={"networks": str(tmp_path / "networks.json")}),
        threads=1,
        resources={},
        rule="check_networks",
        log=[],
    )
    runpy.run_path(str(SCRIPT), {"snakemake": snakemake})
    return read_json(tmp_path / "networks.json")["networks"]


def test_weights_in_the_users_folder_are_found_for_backbone_and_quality(tmp_path):
    (tmp_path / f"{NETWORK}.safetensors").write_bytes(b"weights")
    assert check(tmp_path, str(tmp_path)) == {NETWORK: f"{NETWORK}.safetensors"}


def test_weights_that_are_nowhere_are_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        check(tmp_path, "")
    assert f"weights of '{NETWORK}' not found" in capsys.readouterr().err
