"""Images of a cell, augmentation, loss, and training that survives a kill."""

import h5py
import numpy as np
import pandas as pd
import pytest
import timm
import torch
import torch.nn.functional as F

from waferbench.artifacts import write_h5, write_weights
from waferbench.backbones import create_backbone
from waferbench.classify import train as module
from waferbench.classify.data import Split, fit_samples, real_splits, training_set
from waferbench.classify.train import Normaliser, augment, focal_loss, learning_rate, predict, train_classifier
from waferbench.errors import InputError
from waferbench.render import render
from waferbench.runtime import Checkpoint, seed_everything
from waferbench.splitting import assign_folds, fold_table
from waferbench.wafers import WaferStore

CPU = torch.device("cpu")
TINY = "test_resnet.r160_in1k"
RENDER = {"size": 64, "levels": [0, 128, 255], "resize": "bilinear", "snap": False}
SETTINGS = {
    "image_size": 32,
    "epochs": 4,
    "batch": 16,
    "lr": 3e-3,
    "weight_decay": 0.05,
    "focal_gamma": 2.0,
    "warmup": 0.1,
    "rotation": 15,
    "flip": True,
    "precision": "auto",
}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def wafers(n=60, seed=0):
    rng = np.random.default_rng(seed)
    maps, labels = [], []
    for i in range(n):
        disc = np.hypot(*np.mgrid[-1:1:20j, -1:1:20j])
        wafer = (disc <= 1).astype(np.uint8)
        wafer[(disc < 0.4) if i % 2 else ((disc > 0.8) & (disc <= 1))] = 2
        wafer[(rng.random((20, 20)) < 0.05) & (disc <= 1)] = 2
        maps.append(wafer)
        labels.append("center" if i % 2 else "edge")
    ids = np.array([f"w{i}" for i in range(n)])
    table = pd.DataFrame({"wafer_id": ids, "row": range(n), "label": labels})
    return WaferStore.of(maps), table, fold_table(ids, assign_folds(np.array(labels)), 5)


@pytest.fixture
def splits():
    return real_splits(*wafers(), 0, ["center", "edge"], 32, RENDER)


def test_splits_are_the_folds_wafers_drawn_as_samples_are(splits):
    store, table, folds = wafers()
    test = folds[(folds["fold"] == 0) & (folds["split"] == "test")]
    assert set(splits["test"].ids) == set(test["wafer_id"])
    assert [len(splits[s]) for s in ("train", "val", "test")] == [36, 12, 12]
    row = table.set_index("wafer_id").loc[splits["val"].ids[3], "row"]
    drawn = render([store[row]], RENDER["size"])
    assert np.array_equal(splits["val"].images[3], fit_samples(drawn, 32, RENDER)[0])
    assert splits["val"].labels[3] == (0 if row % 2 else 1)


def test_training_set_of_synthetic_and_repeated(splits, tmp_path):
    images = np.arange(5, dtype=np.uint8)[:, None, None] + np.zeros((5, 64, 64), np.uint8)
    write_h5(tmp_path / "edge.h5", {"images": images})
    rows = [("gan", "edge", 4, ""), ("gan", "edge", 1, ""), ("repeat", "center", -1, str(splits["train"].ids[7]))]
    injection = pd.DataFrame(rows, columns=["source", "label", "index", "wafer_id"])
    joined, counts = training_set(splits["train"], injection, [tmp_path / "edge.h5"], ["center", "edge"], 32, RENDER)
    assert counts == {"n_train_real": 36, "n_train_synthetic": 2, "n_train_repeated": 1}
    assert np.array_equal(joined.images[36], splits["train"].images[7])
    assert joined.images[37:, 0, 0].tolist() == [4, 1] and joined.labels[37:].tolist() == [1, 1]
    assert joined.ids[37] == "gan/edge/4"


def test_training_set_refuses_what_is_not_there(splits, tmp_path):
    def table(row):
        return pd.DataFrame([row], columns=["source", "label", "index", "wafer_id"])

    with h5py.File(tmp_path / "edge.h5", "w") as file:
        file["images"] = np.zeros((2, 64, 64), np.uint8)
    common = ([tmp_path / "edge.h5"], ["center", "edge"], 32, RENDER)
    with pytest.raises(InputError, match="holds 2"):
        training_set(splits["train"], table(("gan", "edge", 2, "")), *common)
    with pytest.raises(InputError, match="'center'"):
        training_set(splits["train"], table(("gan", "center", 0, "")), *common)
    with pytest.raises(InputError, match="not a training wafer"):
        training_set(splits["train"], table(("repeat", "edge", -1, str(splits["test"].ids[0]))), *common)


def test_snap_applies_to_samples_before_resizing():
    images = np.full((1, 64, 64), 100, np.uint8)
    assert (fit_samples(images, 32, RENDER | {"snap": True}) == 128).all()
    assert (fit_samples(images, 32, RENDER) == 100).all()


def test_focal_loss_by_hand_and_as_cross_entropy():
    logits = torch.log(torch.tensor([[0.8, 0.2], [0.6, 0.4]]))
    target = torch.tensor([0, 1])
    by_hand = (0.2**2 * -np.log(0.8) + 0.6**2 * -np.log(0.4)) / 2
    assert focal_loss(logits, target).item() == pytest.approx(by_hand, rel=1e-5)
    assert focal_loss(logits, target, 0.0).item() == pytest.approx(F.cross_entropy(logits, target).item(), rel=1e-6)


def test_flips_are_exact_and_rotation_keeps_the_background():
    generator = torch.Generator().manual_seed(0)
    grey = torch.arange(16.0).view(1, 4, 4).expand(64, 4, 4)
    for rotation in (0, 1e-9):
        seen = {tuple(image.flatten().round().int().tolist()) for image in augment(grey, generator, rotation, True)}
        flips = {
            tuple(g.flatten().int().tolist()) for g in (grey[0], grey[0].flip(0), grey[0].flip(1), grey[0].flip(0, 1))
        }
        assert seen == flips
    turned = augment(torch.full((8, 32, 32), 7.0), generator, 45, True, background=7.0)
    assert torch.allclose(turned, torch.full_like(turned, 7.0), atol=1e-4)
    bar = torch.zeros(1, 33, 33)
    bar[:, 16] = 255
    tilted = augment(bar.expand(32, 33, 33), generator, 15, False)
    # A bar turned by at most 15 degrees stays within tan(15) of its axis, and some are turned visibly.
    assert tilted[:, :10].max() < 1 and (tilted[:, 13, :4].amax(1) > 50).any()


def test_schedule_rises_then_falls():
    rates = [learning_rate(s, 100, 1.0, 0.1) for s in range(100)]
    assert rates[0] == 0.1 and max(rates) == 1.0 and rates[9] == 1.0 and rates[-1] < 0.001
    assert learning_rate(0, 10, 1.0, 0.0) == 1.0


def fit(splits, folder, settings=SETTINGS, stop_after=None):
    seed_everything(5)
    model, mean, std = create_backbone(TINY, 2, pretrained=False)
    normalise, checkpoint = Normaliser(mean, std), Checkpoint(folder)
    if stop_after is not None:
        saves = []

        class Killed(Exception):
            pass

        original = checkpoint.save

        def save(state):
            original(state)
            saves.append(1)
            if len(saves) == stop_after:
                raise Killed

        checkpoint.save = save
        with pytest.raises(Killed):
            train_classifier(model, normalise, splits["train"], splits["val"], settings, True, 5, CPU, checkpoint)
        return None
    history = train_classifier(model, normalise, splits["train"], splits["val"], settings, True, 5, CPU, checkpoint)
    return model, normalise, history


def test_resumed_training_is_bit_equal(splits, tmp_path):
    whole, _, history = fit(splits, None)
    fit(splits, tmp_path, stop_after=2)
    resumed, _, resumed_history = fit(splits, tmp_path)
    assert history == resumed_history and len(history) == 4
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_it_learns_and_keeps_the_best_epoch(splits):
    model, normalise, history = fit(splits, None, SETTINGS | {"epochs": 12})
    best = max(row["val_accuracy"] for row in history)
    _, probabilities = predict(model, normalise, splits["val"].images, CPU, SETTINGS)
    assert (probabilities.argmax(1) == splits["val"].labels).mean() == best
    _, probabilities = predict(model, normalise, splits["test"].images, CPU, SETTINGS)
    assert (probabilities.argmax(1) == splits["test"].labels).mean() >= 0.9
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)


def test_equal_validation_accuracy_keeps_the_later_epoch(splits, monkeypatch):
    constant = np.tile(np.array([[0.9, 0.1]], np.float32), (len(splits["val"]), 1))
    monkeypatch.setattr(module, "predict", lambda *_: (None, constant))
    two, _, _ = fit(splits, None, SETTINGS | {"epochs": 2})
    assert two.bn1.num_batches_tracked == 2 * 3


def test_checkpoint_opens_in_timm(splits, tmp_path):
    model, normalise, _ = fit(splits, None, SETTINGS | {"epochs": 1})
    write_weights(tmp_path / "model.safetensors", model.state_dict())
    stock = timm.create_model(TINY, num_classes=2, checkpoint_path=str(tmp_path / "model.safetensors")).eval()
    batch = normalise(torch.from_numpy(splits["test"].images).float())
    _, probabilities = predict(model, normalise, splits["test"].images, CPU, SETTINGS)
    with torch.inference_mode():
        np.testing.assert_allclose(stock(batch).softmax(1).numpy(), probabilities, atol=1e-5)


def test_a_last_batch_of_one_is_left_out():
    train = Split(np.zeros((17, 32, 32), np.uint8), np.arange(17) % 2, np.array([str(i) for i in range(17)]))
    fit({"train": train, "val": train}, None, SETTINGS | {"epochs": 1})
    assert module._batch_sizes(17, 16) == [16] and module._batch_sizes(18, 16) == [16, 2]
