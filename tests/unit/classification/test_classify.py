"""Images of a cell, augmentation, loss, and training that survives a kill."""

import re

import numpy as np
import pandas as pd
import pytest
import timm
import torch
import torch.nn.functional as F

from waferbench.base.artifacts import write_weights
from waferbench.base.errors import InputError
from waferbench.base.tables import INJECTION
from waferbench.classification import train as module
from waferbench.classification.data import Split, fit_samples, real_splits, with_injected
from waferbench.classification.train import Normaliser, augment, focal_loss, predict, train_classifier, unseen_wafers
from waferbench.config.classification import Augmentation, ClassifierSettings, ClassifierTraining
from waferbench.config.study import Drawn
from waferbench.images.store import write_images
from waferbench.learning.backbones import create_backbone
from waferbench.learning.runtime import Checkpoint, seed_everything
from waferbench.wafers.render import render
from waferbench.wafers.splitting import assign_folds, fold_table
from waferbench.wafers.store import WaferStore

CPU = torch.device("cpu")
TINY = "test_resnet.r160_in1k"
SETTINGS = ClassifierTraining(image_size=32, steps=12, looks=4)
AUGMENTATION = Augmentation()
DRAWN = Drawn(size=64)


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
    return real_splits(*wafers(), 0, ["center", "edge"], DRAWN)


def test_splits_are_the_folds_wafers_drawn_as_samples_are(splits):
    store, table, folds = wafers()
    test = folds[(folds["fold"] == 0) & (folds["split"] == "test")]
    assert set(splits["test"].ids) == set(test["wafer_id"])
    assert [len(splits[s]) for s in ("train", "val", "test")] == [36, 12, 12]
    row = table.set_index("wafer_id").loc[splits["val"].ids[3], "row"]
    assert np.array_equal(splits["val"].images[3], render([store[row]], DRAWN)[0])
    assert splits["val"].labels[3] == (0 if row % 2 else 1)


def test_training_set_of_synthetic_and_repeated(splits, tmp_path):
    images = np.arange(5, dtype=np.uint8)[:, None, None] + np.zeros((5, 64, 64), np.uint8)
    write_images(tmp_path / "edge.h5", images)
    repeated = ("repeat", "center", -1, str(splits["train"].ids[7]), "train")
    rows = [("gan", "edge", 4, "", "train"), ("gan", "edge", 1, "", "train"), repeated]
    injection = pd.DataFrame(rows, columns=INJECTION)
    sets, counts = with_injected(splits, injection, [tmp_path / "edge.h5"], ["center", "edge"], DRAWN)
    joined = sets["train"]
    assert len(sets["val"]) == len(splits["val"]) and len(sets["test"]) == len(splits["test"])
    assert counts == {"n_train_real": 36, "n_train_synthetic": 2, "n_train_repeated": 1, "n_added": 3}
    assert np.array_equal(joined.images[36], splits["train"].images[7])
    assert joined.images[37:, 0, 0].tolist() == [4, 1] and joined.labels[37:].tolist() == [1, 1]
    assert joined.ids[37] == "gan/edge/4"


def test_a_leaky_protocol_adds_to_every_split_and_names_what_it_adds(splits, tmp_path):
    write_images(tmp_path / "edge.h5", np.full((5, 64, 64), 9, np.uint8))
    wafer = str(splits["test"].ids[2])
    rows = [
        ("repeat", "edge", -1, wafer, "train"),
        ("repeat", "edge", -1, wafer, "test"),
        ("gan", "edge", 3, "", "val"),
    ]
    injection = pd.DataFrame(rows, columns=INJECTION)
    sets, counts = with_injected(splits, injection, [tmp_path / "edge.h5"], ["center", "edge"], DRAWN)
    assert np.array_equal(sets["train"].images[-1], splits["test"].images[2]), "a test wafer's copy trains: the leak"
    assert sets["test"].ids[-1] == f"repeat/{wafer}/0" and sets["val"].ids[-1] == "gan/edge/3"
    assert counts == {"n_train_real": 36, "n_train_synthetic": 0, "n_train_repeated": 1, "n_added": 1}


def test_spare_wafers_train_nothing():
    store, table, folds = wafers()
    whole = real_splits(store, table, folds, 0, ["center", "edge"], DRAWN)
    spare = folds["wafer_id"].isin(whole["train"].ids[::2]) & (folds["fold"] == 0)
    few = real_splits(
        store, table, folds.assign(split=folds["split"].mask(spare, "spare")), 0, ["center", "edge"], DRAWN
    )
    assert list(few["train"].ids) == list(whole["train"].ids[1::2])
    assert np.array_equal(few["test"].ids, whole["test"].ids) and np.array_equal(few["val"].ids, whole["val"].ids)


def test_steps_below_one_pass_are_told_with_what_to_raise():
    few = ClassifierTraining(steps=10, looks=1, batch=16)
    assert unseen_wafers(few, 160) == "" and unseen_wafers(few.model_copy(update={"epochs": 1}), 999) == ""
    assert re.search(
        r"0\.50 passes over the 321 training wafers.* classifier\.steps to 21 or more", unseen_wafers(few, 321)
    )
    assert unseen_wafers(few.model_copy(update={"steps": 21}), 321) == "", "the advice works"


def test_a_class_without_training_wafers_and_a_single_class_are_named():
    store, table, folds = wafers()
    edge = table.loc[table["label"] == "edge", "wafer_id"]
    trains = (folds["fold"] == 0) & (folds["split"] == "train") & folds["wafer_id"].isin(edge)
    few = folds[~trains]
    with pytest.raises(InputError, match="all training wafers are 'center'"):
        real_splits(store, table, few, 0, ["center", "edge"], DRAWN)
    third = table.assign(label=np.where(table.index < 2, "third", table["label"]))
    few = folds[~((folds["fold"] == 0) & (folds["split"] == "train") & folds["wafer_id"].isin(["w0", "w1"]))]
    few = pd.concat([few, pd.DataFrame({"wafer_id": ["w0"], "fold": [0], "split": ["test"]})]).drop_duplicates()
    with pytest.raises(InputError, match=r"class 'third' has wafers in the (test|val) split and none to train on"):
        real_splits(store, third, few, 0, ["center", "edge", "third"], DRAWN)


def test_training_set_refuses_what_is_not_there(splits, tmp_path):
    def table(row):
        return pd.DataFrame([(*row, "train")], columns=INJECTION)

    write_images(tmp_path / "edge.h5", np.zeros((2, 64, 64), np.uint8))
    common = ([tmp_path / "edge.h5"], ["center", "edge"], DRAWN)
    with pytest.raises(InputError, match=r"edge\.h5: image 2 asked for, of 2"):
        with_injected(splits, table(("gan", "edge", 2, "")), *common)
    with pytest.raises(InputError, match="'center'"):
        with_injected(splits, table(("gan", "center", 0, "")), *common)
    with pytest.raises(InputError, match="not a training wafer"):
        with_injected(splits, table(("repeat", "edge", -1, str(splits["test"].ids[0]))), *common)


def test_snap_applies_to_samples_before_resizing():
    images = np.full((1, 64, 64), 100, np.uint8)
    assert (fit_samples(images, Drawn(size=32, snap=True)) == 128).all()
    assert (fit_samples(images, Drawn(size=32)) == 100).all()


def test_inputs_are_resized_on_the_device_and_one_hot_has_a_plane_a_level():
    grey = torch.tensor([[0.0, 128.0], [255.0, 128.0]]).expand(3, 2, 2)
    wide = Normaliser((0.5,) * 3, (0.5,) * 3, size=4)(grey)
    assert wide.shape == (3, 3, 4, 4) and wide[0, 0, 0, 0] == -1 and wide[0, 0, 3, 0] == 1
    assert -1 < wide[0, 0, 0, 1] < 128 / 127.5 - 1
    nearest = Normaliser((0.5,) * 3, (0.5,) * 3, size=4, kind="nearest")(grey)
    assert nearest.unique().tolist() == pytest.approx([-1, 128 / 127.5 - 1, 1], abs=1e-6)
    planes = Normaliser((0.0,) * 3, (1.0,) * 3, size=4, kind="one_hot")(grey)
    assert (planes.sum(1) == 1).all() and planes[0, :, 3, 0].tolist() == [0, 0, 1]
    generator = torch.Generator().manual_seed(0)
    turned = augment(torch.full((8, 16, 16), 128.0), generator, AUGMENTATION, mode="nearest")
    assert set(turned.unique().tolist()) <= {0.0, 128.0}


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
        moved = augment(grey, generator, Augmentation(rotation=rotation))
        seen = {tuple(image.flatten().round().int().tolist()) for image in moved}
        flips = {
            tuple(g.flatten().int().tolist()) for g in (grey[0], grey[0].flip(0), grey[0].flip(1), grey[0].flip(0, 1))
        }
        assert seen == flips
    turned = augment(torch.full((8, 32, 32), 7.0), generator, Augmentation(rotation=45), background=7.0)
    assert torch.allclose(turned, torch.full_like(turned, 7.0), atol=1e-4)
    bar = torch.zeros(1, 33, 33)
    bar[:, 16] = 255
    tilted = augment(bar.expand(32, 33, 33), generator, Augmentation(flip=False))
    # A bar turned by at most 15 degrees stays within tan(15) of its axis, and some are turned visibly.
    assert tilted[:, :10].max() < 1 and (tilted[:, 13, :4].amax(1) > 50).any()


def fit(splits, folder, settings=SETTINGS, stop_after=None):
    seed_everything(5)
    model, mean, std = create_backbone(TINY, 2, pretrained=False)
    normalise, checkpoint = Normaliser(mean, std, 32, settings.input), Checkpoint(folder)
    both = splits["train"], splits["val"]
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
            train_classifier(model, normalise, *both, settings, AUGMENTATION, 5, CPU, checkpoint)
        return None
    history = train_classifier(model, normalise, *both, settings, AUGMENTATION, 5, CPU, checkpoint)
    return model, normalise, history


@pytest.mark.parametrize(
    "changed", [{}, {"ema": 0.9, "input": "one_hot"}, {"precision": "bf16", "input": "nearest"}, {"precision": "fp16"}]
)
def test_resumed_training_is_bit_equal(changed, tmp_path):
    settings = SETTINGS.model_copy(update=changed)
    drawn = DRAWN if settings.input == "bilinear" else Drawn(size=64, resize="nearest", snap=True)
    splits = real_splits(*wafers(), 0, ["center", "edge"], drawn)
    whole, _, history = fit(splits, None, settings)
    fit(splits, tmp_path, settings, stop_after=2)
    resumed, _, resumed_history = fit(splits, tmp_path, settings)
    assert history == resumed_history and len(history) == 4
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_the_rate_rises_over_a_fraction_of_the_steps(splits):
    _, _, history = fit(splits, None, SETTINGS.model_copy(update={"steps": 6, "looks": 2, "warmup": 1.0}))
    assert [row["lr"] for row in history] == pytest.approx([SETTINGS.lr / 2, SETTINGS.lr])


def test_the_strong_recipe_stands_in_the_settings_of_the_job_as_values():
    plain, strong = ClassifierSettings(), ClassifierSettings(recipe="strong", ema=0.5, lr=1e-4)
    job = ClassifierTraining.of(strong)
    assert (job.ema, job.drop_path, job.logit_offsets, job.symmetries, job.lr) == (0.999, 0.1, True, True, 1e-4)
    assert Augmentation.of(strong) == Augmentation(rotation=180, flip=True)
    assert ClassifierSettings.model_validate_json(strong.model_dump_json()) == strong
    assert not plain.logit_offsets and not plain.symmetries and plain.ema == 0.95


def test_more_looks_than_steps_are_refused():
    with pytest.raises(ValueError, match="looks = 9, expected at most one a step"):
        ClassifierSettings(steps=8, looks=9)
    assert ClassifierSettings(steps=8, looks=9, epochs=3).epochs == 3


def test_a_diverged_training_is_named(splits):
    with pytest.raises(InputError, match=r"the loss is not finite within \d+ steps; lower classifier\.lr"):
        fit(splits, None, SETTINGS.model_copy(update={"lr": 1e30}))


def test_the_average_is_what_validation_chooses_among(splits):
    plain, _, _ = fit(splits, None, SETTINGS.model_copy(update={"ema": 0.0}))
    averaged, normalise, history = fit(splits, None, SETTINGS.model_copy(update={"ema": 0.9}))
    _, probabilities = predict(averaged, normalise, splits["val"].images, CPU, "auto")
    accuracy = (probabilities.argmax(1) == splits["val"].labels).mean()
    assert accuracy == max(row["val_accuracy"] for row in history)
    assert not torch.equal(plain.conv1[0].weight, averaged.conv1[0].weight)


def test_it_learns_and_keeps_the_best_look(splits):
    model, normalise, history = fit(splits, None, SETTINGS.model_copy(update={"steps": 36, "looks": 12}))
    best = max(row["val_accuracy"] for row in history)
    _, probabilities = predict(model, normalise, splits["val"].images, CPU, "auto")
    assert (probabilities.argmax(1) == splits["val"].labels).mean() == best
    _, probabilities = predict(model, normalise, splits["test"].images, CPU, "auto")
    assert (probabilities.argmax(1) == splits["test"].labels).mean() >= 0.9
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)


def test_equal_validation_accuracy_keeps_the_later_look(splits, monkeypatch):
    constant = np.tile(np.array([[0.9, 0.1]], np.float32), (len(splits["val"]), 1))
    monkeypatch.setattr(module, "predict", lambda *_: (None, constant))
    two, _, _ = fit(splits, None, SETTINGS.model_copy(update={"steps": 6, "looks": 2}))
    assert two.bn1.num_batches_tracked == 2 * 3


def test_checkpoint_opens_in_timm(splits, tmp_path):
    model, normalise, _ = fit(splits, None, SETTINGS.model_copy(update={"steps": 3, "looks": 1}))
    write_weights(tmp_path / "model.safetensors", model.state_dict())
    stock = timm.create_model(TINY, num_classes=2, checkpoint_path=str(tmp_path / "model.safetensors")).eval()
    batch = normalise(torch.from_numpy(splits["test"].images).float())
    _, probabilities = predict(model, normalise, splits["test"].images, CPU, "auto")
    with torch.inference_mode():
        np.testing.assert_allclose(stock(batch).softmax(1).numpy(), probabilities, atol=1e-5)


def test_steps_and_looks_do_not_depend_on_how_much_is_trained_on_unless_epochs_are_asked_for(splits):
    train = splits["train"]
    short = Split(train.images[::2], train.labels[::2], train.ids[::2])
    short.labels[0] = 1 - short.labels[1]  # of both classes
    steps = [[row["step"] for row in fit({**splits, "train": part}, None)[2]] for part in (train, short)]
    assert steps == [[3, 6, 9, 12]] * 2
    published = SETTINGS.model_copy(update={"epochs": 2})
    steps = [[row["step"] for row in fit({**splits, "train": part}, None, published)[2]] for part in (train, short)]
    assert steps == [[3, 6], [2, 4]]  # 36 and 18 wafers in batches of 16


def test_another_thread_count_decides_alike():
    """Sums in another order: weights differ in their last digits, decisions on at most one wafer in fifty."""
    splits = real_splits(*wafers(500), 0, ["center", "edge"], DRAWN)
    said = []
    for threads in (1, 1, 2):
        torch.set_num_threads(threads)
        seed_everything(5)
        model, mean, std = create_backbone(TINY, 2, False, image_size=SETTINGS.image_size)
        normalise = Normaliser(mean, std, SETTINGS.image_size)
        both = splits["train"], splits["val"]
        train_classifier(model, normalise, *both, SETTINGS, AUGMENTATION, 5, CPU, Checkpoint(None))
        said.append(predict(model, normalise, splits["test"].images, CPU, "auto")[1])
    assert np.array_equal(said[0], said[1])
    assert (said[0].argmax(1) == said[2].argmax(1)).mean() >= 0.98
    assert np.abs(said[0] - said[2]).max() < 0.01
