"""The check of networks looks for weights where the jobs that use them will look."""

import pytest

from helpers.scripts import run_script
from waferbench.base.artifacts import read_json
from waferbench.config.stages import NetworkWeights
from waferbench.config.synthesis.stages import CheckedBackbone, CheckedQuality, CheckNetworks

NETWORK = "test_resnet.r160_in1k"


def check(folder, weights_folder):
    weights = NetworkWeights(manifest={NETWORK: {}})
    settings = CheckNetworks(
        backbones={NETWORK: CheckedBackbone(name=NETWORK, pretrained=True, weights=weights)},
        quality=CheckedQuality(network=NETWORK, image_size=64, weights=weights),
    )
    outputs, places = {"networks": folder / "networks.json"}, {"folder": str(weights_folder)}
    run_script("synthesis/check_networks", folder, settings, outputs=outputs, weights=places)
    return read_json(folder / "networks.json")["networks"]


def test_weights_in_the_users_folder_are_found_for_backbone_and_quality(tmp_path):
    (tmp_path / f"{NETWORK}.safetensors").write_bytes(b"weights")
    assert check(tmp_path, tmp_path) == {NETWORK: f"{NETWORK}.safetensors"}


def test_weights_that_are_nowhere_are_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        check(tmp_path, "")
    assert f"weights of '{NETWORK}' not found" in capsys.readouterr().err
