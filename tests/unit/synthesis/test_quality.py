"""Quality metrics against their definitions, against clean-fid, and against sets whose answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from waferbench.base.errors import InputError
from waferbench.base.scope import POOLED, Fold
from waferbench.base.tables import CLOSEST, TABLES
from waferbench.config.stages import WeightSearch
from waferbench.config.synthesis.settings import QualityMeasures
from waferbench.images.store import write_images
from waferbench.learning.backbones import create_backbone
from waferbench.synthesis.quality import features as features_module
from waferbench.synthesis.quality.diversity import diversity
from waferbench.synthesis.quality.features import Features, clean_resize
from waferbench.synthesis.quality.frechet import frechet_distance, frechet_of_features
from waferbench.synthesis.quality.kid import kernel_distance
from waferbench.synthesis.quality.measure import ALL, Memory, feature_rows, same_mix, table
from waferbench.synthesis.quality.memorisation import closest, copy_threshold, hamming_distances, nearest, rate
from waferbench.synthesis.quality.prdc import prdc
from waferbench.synthesis.quality.selection import balanced_subset, real_wafers, samples

SETTINGS = QualityMeasures(kid_subsets=10, kid_subset_size=20, neighbours=3)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x.mean(0), np.cov(x, rowvar=False)


@pytest.mark.parametrize("counts", [(300, 200), (30, 200), (200, 25)])
def test_frechet_agrees_with_cleanfid(rng, counts):
    fid = pytest.importorskip("cleanfid.fid")
    mixing = rng.normal(size=(40, 40))
    x, y = rng.normal(size=(counts[0], 40)) @ mixing, rng.normal(0.3, 1.2, size=(counts[1], 40)) @ mixing
    expected = fid.frechet_distance(*moments(x), *moments(y))
    assert frechet_distance(*moments(x), *moments(y)) == pytest.approx(expected, rel=1e-3)
    assert frechet_of_features(x, y) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("counts", [(10, 300), (300, 10), (10, 12), (50, 60)])
def test_frechet_by_inner_products_is_the_same_number(rng, counts):
    x, y = rng.normal(size=(counts[0], 30)), rng.normal(1, 2, size=(counts[1], 30))
    assert frechet_of_features(x, y) == pytest.approx(frechet_distance(*moments(x), *moments(y)), rel=1e-6)
    assert frechet_of_features(x, x + 2) == pytest.approx(4 * 30, rel=1e-6)


def test_frechet_of_diagonal_gaussians():
    a, b = np.diag([1.0, 4.0]), np.diag([9.0, 1.0])
    assert frechet_distance(np.zeros(2), a, np.array([3.0, 0]), b) == pytest.approx(9 + 4 + 1)


def test_kid_agrees_with_cleanfid_in_expectation(rng):
    fid = pytest.importorskip("cleanfid.fid")
    x, y = rng.normal(size=(200, 16)), rng.normal(0.4, 1, size=(220, 16))
    np.random.seed(0)
    expected = fid.kernel_distance(x, y, num_subsets=400, max_subset_size=100)
    value, low, high = kernel_distance(x, y, 400, 100, rng)
    assert value == pytest.approx(expected, rel=0.03)
    assert low < value < high


def test_kid_interval_covers_zero_for_equal_distributions(rng):
    covered = 0
    for _ in range(30):
        _, low, high = kernel_distance(rng.normal(size=(60, 8)), rng.normal(size=(60, 8)), 30, 30, rng)
        covered += low <= 0 <= high
    assert covered >= 24


def test_prdc_on_points_of_a_line():
    real = np.array([[0.0], [1.0], [2.0], [10.0]])
    synthetic = np.array([[0.5], [1.5], [50.0], [51.0]])
    # balls to the first neighbour: real radii 1, 1, 1, 8; synthetic radii 1, 1, 1, 1
    scores = prdc(real, synthetic, 1)
    assert scores["precision"] == 0.5  # 0.5 and 1.5
    assert scores["recall"] == 0.75  # 0, 1, 2
    assert scores["density"] == 1.0  # 0.5 and 1.5 in two balls each, over four samples; 10's ball is 2 to 18
    assert scores["coverage"] == 0.75  # all but 10's


def test_prdc_extremes(rng):
    x = rng.normal(size=(40, 3))
    assert prdc(x, x, 3)["precision"] == prdc(x, x, 3)["coverage"] == 1
    assert set(prdc(x, x + 100, 3).values()) == {0.0}
    assert np.isnan(prdc(x, x[:3], 3)["recall"])


def test_hamming_sees_through_symmetries_and_counts_pixels(rng):
    levels = np.array([0, 128, 255], np.uint8)
    images = levels[rng.integers(0, 3, (6, 16, 16))]
    turned = np.rot90(images, 1, (1, 2))[:, ::-1].copy()
    turned[0, 3, 3] = 255 - turned[0, 3, 3] if turned[0, 3, 3] != 128 else 0
    matrix = hamming_distances(turned, images)
    assert np.diag(matrix).tolist() == [1 / 256, 0, 0, 0, 0, 0]
    brute = min(
        (images[1] != t).mean() for k in range(4) for t in (np.rot90(images[2], k), np.fliplr(np.rot90(images[2], k)))
    )
    assert hamming_distances(images, images)[1, 2] == pytest.approx(brute)
    blurred = np.clip(images.astype(int) + 30, 0, 255).astype(np.uint8)
    assert nearest(hamming_distances(blurred, images)).max() == 0


def test_the_threshold_is_a_quantile_of_the_distances_that_there_are():
    assert copy_threshold(np.array([3.0, 1.0, 2.0, np.inf]), 0.5) == 2
    assert np.isnan(copy_threshold(np.array([np.inf])))


def test_rate_is_wilson():
    value, low, high = rate(np.array([True] * 5 + [False] * 5))
    assert (value, round(low, 3), round(high, 3)) == (0.5, 0.237, 0.763)
    assert np.isnan(rate(np.array([]))[0])


def test_diversity_is_the_spread_over_that_of_real_wafers(rng):
    real = rng.normal(size=(60, 5))
    assert diversity(real, real[:30] * 0.5) == pytest.approx(0.5, abs=0.1)
    assert diversity(real, np.repeat(real[:1], 9, axis=0)) == pytest.approx(0, abs=1e-6)
    assert diversity(np.array([[0.0], [2.0]]), np.array([[0.0], [1.0], [2.0]])) == pytest.approx((1 + 1 + 2) / 3 / 2)
    assert np.isnan(diversity(real, real[:1])) and np.isnan(diversity(np.zeros((3, 2)), real[:, :2]))


def maps(count: int, rng: np.random.Generator) -> np.ndarray:
    return np.array([0, 128, 255], np.uint8)[rng.integers(0, 3, (count, 16, 16))]


def test_memory_finds_copies_and_clears_the_honest(rng):
    train, test, honest = (maps(40, rng) for _ in range(3))
    labels = np.array(["a", "b"] * 20, dtype=object)
    flat = [x.reshape(40, -1).astype(np.float32) for x in (train, test, honest)]
    memory = Memory((train, labels, flat[0]), (test, labels, flat[1]), (0, 128, 255), seed=0)

    def values(images, features):
        rows, twins = memory.rows(images, features, labels, ["a", "b"])
        frame = table(rows)
        assert len(twins) == 40 and (twins["hamming"] == 0).all() == np.shares_memory(images, train)
        if np.shares_memory(images, train):
            assert twins["nearest"].tolist() == list(range(40)), "each copy finds its original"
        return frame[frame["label"] == ALL].set_index("metric")[["value", "low", "high"]].stack()

    copied, clean = values(train[:, ::-1], flat[0]), values(honest, flat[2])
    assert copied["copy_rate", "value"] == 1 and copied["hamming_train", "value"] == 0
    assert copied["nearer_train", "value"] > copied["floor_nearer_train", "high"]
    assert clean["copy_rate", "value"] < 0.2 and clean["floor_copy_rate", "value"] < 0.2
    assert clean["floor_nearer_train", "low"] < 0.5 < clean["floor_nearer_train", "high"]
    assert clean["nearer_train", "value"] < clean["floor_nearer_train", "high"]


def test_memory_finds_copies_of_wafers_that_are_not_compared_otherwise(rng):
    every, test = maps(60, rng), maps(20, rng)
    labels, at = np.array(["a"] * 60, dtype=object), np.arange(0, 60, 3)
    flat = [x.reshape(len(x), -1).astype(np.float32) for x in (every, test)]
    train, held_out = (every[at], labels[at], flat[0][at]), (test, labels[:20], flat[1])
    memory = Memory(train, held_out, (0, 128, 255), seed=0, every=every, at=at)
    others = np.setdiff1d(np.arange(60), at)
    rows, twins = memory.rows(every[others], flat[0][others], labels[others], ["a"])
    assert twins["nearest"].tolist() == others.tolist()
    copied = table(rows).set_index(["label", "metric"]).loc[("a", "copy_rate")]
    assert copied["value"] == 1 and copied["n_real"] == 60


def test_all_classes_together_are_compared_in_the_mix_of_the_real_ones(rng):
    def draw(counts):
        centres = {"a": 0, "b": 6, "c": -9}
        labels = np.repeat(list(counts), list(counts.values())).astype(object)
        return np.stack([rng.normal(centres[label], 1, 8) for label in labels]), labels

    labels = np.array(["b", "a", "a", "b", "a", "c"], dtype=object)
    assert same_mix(labels, np.array(["a", "a", "a", "b", "d"])).tolist() == [True, True, True, False, True, False]
    assert not same_mix(labels[:0], labels).any()
    (real, of_real), (ideal, of) = draw({"a": 400, "b": 100, "c": 20}), draw({"a": 200, "b": 200, "c": 200})
    rows = table(feature_rows(ideal, of, real, of_real, ["a", "b", "c"], SETTINGS, 0)).set_index(["label", "metric"])
    found, floor = rows.loc[(ALL, "frechet")], rows.loc[(ALL, "floor_frechet")]
    assert found["n"] == 200 + 50 + 10
    assert found["value"] < 2 * floor["value"], "samples as real wafers are no farther than those from each other"


def test_floors_are_of_other_real_wafers_in_the_samples_own_number(rng):
    def draw(a, b):
        labels = np.array(["a"] * a + ["b"] * b, dtype=object)
        return rng.normal(np.where(labels == "a", 0, 5)[:, None], 1, (a + b, 6)), labels

    (real, of_real), (ideal, of), other = draw(60, 40), draw(30, 30), draw(80, 20)
    rows = feature_rows(ideal, of, real, of_real, ["a", "b"], SETTINGS, 0, other=other)
    frame = table(rows).set_index(["label", "metric"])
    for label, n, floor in (("a", 30, 30), ("b", 30, 20)):
        assert frame.loc[(label, "floor_coverage"), ["n", "n_real"]].tolist() == [floor, (of_real == label).sum()]
        assert frame.loc[(label, "coverage"), "n"] == n
    same = frame.loc[("a", "recall")], frame.loc[("a", "recall_matched")]
    assert same[0]["value"] == same[1]["value"] and np.isnan(same[1]["low"]), "as many wafers as samples"
    few = frame.loc[("b", "frechet_matched")]
    assert few["value"] > frame.loc[("b", "frechet"), "value"] and few["low"] < few["high"]
    only = prdc(real[of_real == "b"], other[0][other[1] == "b"], SETTINGS.neighbours)
    assert frame.loc[("b", "floor_recall"), "value"] == pytest.approx(only["recall"])
    assert np.isnan(frame.loc[("b", "floor_recall"), "low"]), "all of them were taken: nothing to draw"
    mixed = frame.loc[(ALL, "floor_frechet")]
    assert (mixed["n"], mixed["n_real"]) == (30 + 20, 100), "20 of b leave 30 of a in the mix of the reference"


def test_the_kernel_distance_of_the_table_is_times_a_thousand(rng):
    real, synthetic = rng.normal(size=(50, 6)), rng.normal(3, 1, size=(50, 6))
    of = np.array(["a"] * 50, dtype=object)
    rows = table(feature_rows(synthetic, of, real, of, ["a"], SETTINGS, 0)).set_index(["label", "metric"])
    plain, *_ = kernel_distance(synthetic, real, 200, 20, rng)
    found = rows.loc[("a", "kid_x1000")]
    assert found["value"] == pytest.approx(1000 * plain, rel=0.1) and found["low"] < found["value"] < found["high"]


def test_pooled_scope_has_no_held_out_rows(rng):
    train = maps(10, rng)
    labels = np.array(["a"] * 10, dtype=object)
    flat = train.reshape(10, -1).astype(np.float32)
    memory = Memory((train, labels, flat), (train[:0], labels[:0], flat[:0]), (0, 128, 255), seed=0)
    rows, twins = memory.rows(train, flat, labels, ["a"])
    assert {row["metric"] for row in rows} == {"copy_rate", "hamming_train"} and len(twins) == 10


def test_balanced_subset_keeps_rare_classes(rng):
    labels = np.array(["a"] * 100 + ["b"] * 3 + ["c"] * 50)
    chosen = labels[balanced_subset(labels, 43, rng)]
    assert {k: int((chosen == k).sum()) for k in "abc"} == {"a": 20, "b": 3, "c": 20}
    assert len(balanced_subset(labels, 1000, rng)) == 153


def test_no_wafer_is_held_out_of_a_pooled_generator(rng):
    labels = np.array(["a"] * 100 + ["b"] * 3)
    train, test = (real_wafers(labels, Fold(1), split, 43, 0) for split in ("train", "test"))
    assert len(train) == len(test) == 43 and (np.diff(train) > 0).all() and train.tolist() != test.tolist()
    assert train.tolist() == real_wafers(labels, Fold(1), "train", 43, 0).tolist()
    assert len(real_wafers(labels, POOLED, "test", 43, 0)) == 0 < len(real_wafers(labels, POOLED, "train", 43, 0))


def test_the_first_samples_and_the_pool_are_measured(rng, tmp_path):
    images = {label: maps(6, rng) for label in ("b", "a")}
    for label, drawn in images.items():
        write_images(tmp_path / f"{label}.h5", drawn)
    kept = [False, True, False, True, True, False]
    parts = [pd.DataFrame({"label": label, "index": range(6), "in_pool": kept}) for label in images]
    files = {label: str(tmp_path / f"{label}.h5") for label in ("a", "b")}
    found = samples(files, pd.concat(parts).sample(frac=1, random_state=0), 2)
    assert found.label.tolist() == ["a"] * 4 + ["b"] * 4 and found.index.tolist() == [0, 1, 3, 4] * 2
    assert found.stages["raw"].tolist() == [True, True, False, False] * 2
    assert found.stages["kept"].tolist() == [False, True, True, True] * 2
    for image, label, index in zip(found.images, found.label, found.index, strict=True):
        assert np.array_equal(image, images[label][index])
    with pytest.raises(InputError, match=r"a\.h5: image 6 asked for, of 6"):
        samples(files, pd.DataFrame({"label": ["a"], "index": [6], "in_pool": [True]}), 2)


def test_each_samples_twin_is_told_by_its_row_of_the_store():
    twins = pd.DataFrame({"nearest": [2, 0], "hamming": [0.25, 0.0]})
    wafers = pd.DataFrame({"row": [7, 8, 9]})
    pairs = closest(twins, wafers, "gan", np.array(["a", "b"], dtype=object), np.array([5, 3]))
    assert tuple(pairs.columns) == CLOSEST
    assert pairs.to_numpy().tolist() == [["gan", "a", 5, 9, 0.25], ["gan", "b", 3, 7, 0.0]]


def test_feature_rows_state_numbers_and_survive_empty_classes(rng):
    real, labels = rng.normal(size=(60, 12)), np.array(["a"] * 40 + ["b"] * 20, dtype=object)
    synthetic, of = rng.normal(size=(30, 12)), np.array(["a"] * 30, dtype=object)
    rows = feature_rows(synthetic, of, real, labels, ["a", "b"], SETTINGS, seed=0)
    frame = table(rows, protocol="p", fold=0)
    assert tuple(frame.columns) == TABLES["quality"] and set(frame["protocol"]) == {"p"} and set(frame["fold"]) == {0}
    frame = frame.set_index(["label", "metric"])
    assert frame.loc[("a", "frechet"), ["n", "n_real"]].tolist() == [30, 40]
    assert frame.loc[("all", "frechet"), ["n", "n_real"]].tolist() == [30, 60]
    assert frame.loc[("a", "floor_frechet"), ["n", "n_real"]].tolist() == [20, 20]
    assert np.isnan(frame.loc[("b", "frechet"), "value"]) and frame.loc[("b", "frechet"), "n"] == 0
    assert frame.loc[("a", "frechet_matched"), "value"] == pytest.approx(
        frame.loc[("a", "floor_frechet"), "value"], rel=0.5
    )
    names = {metric.removeprefix("floor_") for label, metric in frame.index if metric.startswith("floor_")}
    assert names == {"frechet", "kid_x1000", "precision", "recall", "density", "coverage", "diversity"}
    again = feature_rows(synthetic, of, real, labels, ["a", "b"], SETTINGS, seed=0)
    pd.testing.assert_frame_equal(table(rows), table(again))
    other = feature_rows(synthetic, of, real, labels, ["a", "b"], SETTINGS, seed=1)
    assert not table(rows)["value"].equals(table(other)["value"])


@pytest.mark.parametrize("size", [299, 32])
def test_clean_resize_agrees_with_pillow(rng, size):
    image = rng.integers(0, 256, (64, 64)).astype(np.uint8)
    pillow = np.asarray(Image.fromarray(image.astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC))
    ours = clean_resize(torch.from_numpy(image)[None, None], size)[0, 0].numpy()
    assert np.abs(ours - pillow.clip(0, 255)).max() < 0.01


@pytest.mark.parametrize("size", [299, 64, 32])
def test_clean_resize_agrees_with_cleanfid(rng, size):
    resize = pytest.importorskip("cleanfid.resize")
    image = rng.integers(0, 256, (64, 64)).astype(np.uint8)
    expected = resize.make_resizer("PIL", False, "bicubic", (size, size))(np.repeat(image[..., None], 3, 2)).clip(
        0, 255
    )
    ours = clean_resize(torch.from_numpy(image)[None, None], size)[0, 0].numpy()
    assert np.abs(ours[..., None] - expected).max() < 0.01


def test_the_distance_from_images_agrees_with_cleanfid(rng, tmp_path):
    """The whole way, files to distance, by clean-fid and here: a TorchScript file as clean-fid's takes both."""
    fid = pytest.importorskip("cleanfid.fid")
    torch.manual_seed(0)
    inception = torch.nn.Module()
    inception.layers = torch.nn.Sequential(
        torch.nn.Conv2d(3, 12, 7, stride=4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    folders, images = [], []
    for k in range(2):
        images.append(rng.integers(0, 256 - 60 * k, (40, 64, 64)).astype(np.uint8))
        folders.append(tmp_path / str(k))
        folders[k].mkdir()
        for i, image in enumerate(images[k]):
            Image.fromarray(np.repeat(image[..., None], 3, 2)).save(folders[k] / f"{i}.png")

    def network(batch):  # clean-fid scales inside its network, as the file of the FID literature does
        return inception.layers((batch - 128) / 128)

    options = {"model": network, "num_workers": 0, "batch_size": 16, "device": torch.device("cpu"), "verbose": False}
    x, y = (fid.get_folder_features(str(folder), **options) for folder in folders)
    expected = fid.frechet_distance(*moments(x), *moments(y))

    class Scripted(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = inception.layers

        def forward(self, x):
            return self.layers((x - 128) / 128)

    torch.jit.script(Scripted()).save(str(tmp_path / "inception.pt"))
    manifest = {"inception_v3": {"sources": [{"kind": "file", "file": "inception.pt"}]}}
    ours = Features("inception_v3", 299, WeightSearch(folder=str(tmp_path), manifest=manifest))
    assert frechet_of_features(*(ours(part) for part in images)) == pytest.approx(expected, rel=1e-3)


def test_features_are_pooled_frozen_and_of_any_number(monkeypatch, rng):
    net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.BatchNorm2d(3), torch.nn.Flatten())
    monkeypatch.setattr(features_module, "create_backbone", lambda *a, **k: (net, (0.5,) * 3, (0.5,) * 3))
    network = Features("toy", 32)
    images = np.full((3, 64, 64), 255, np.uint8)
    assert network(images) == pytest.approx(np.ones((3, 3)), abs=1e-4)
    assert network(images[:0]).shape[0] == 0


def test_a_classifier_of_the_study_gives_its_own_features(rng):
    classifier, mean, std = create_backbone("test_resnet.r160_in1k", 3, pretrained=False, image_size=32)
    for tensor in classifier.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.randn_like(tensor).abs() * 0.1)
    images = rng.integers(0, 256, (2, 32, 32)).astype(np.uint8)
    found = Features("test_resnet.r160_in1k@real", 32, trained=classifier.state_dict())(images)
    x = torch.from_numpy(images).float()[:, None].expand(-1, 3, -1, -1) / 255
    x = (x - torch.tensor(mean).view(1, -1, 1, 1)) / torch.tensor(std).view(1, -1, 1, 1)
    with torch.no_grad():
        maps = classifier.eval().forward_features(x)
        expected = classifier.forward_head(maps, pre_logits=True).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_inception_without_its_file_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"inception-2015-12-05\.pt"):
        Features("inception_v3", 299, WeightSearch(folder=str(tmp_path)))
    with pytest.raises(InputError, match="299"):
        Features("inception_v3", 64, WeightSearch(folder=str(tmp_path)))
