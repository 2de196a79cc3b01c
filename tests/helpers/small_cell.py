"""A cell of the grid in miniature, as files: a small network of which only the head is fitted, features, tables."""

import runpy
from contextlib import chdir
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from waferbench.base.artifacts import read_table, write_h5, write_table, write_weights
from waferbench.classification.predictions import prediction_table
from waferbench.classification.svm.svm import fit_ecoc_svm
from waferbench.classification.train import Normaliser, predict
from waferbench.config.classification import ClassifierUse, SvmSettings
from waferbench.config.study import Drawn
from waferbench.learning.backbones import create_backbone
from waferbench.learning.runtime import seed_everything
from waferbench.wafers.render import render
from waferbench.wafers.store import WaferStore, write_store
from waferbench.wafers.table import WaferSet, wafer_table

SCRIPTS = Path(__file__).parents[2] / "workflow/scripts"
TINY = "test_resnet.r160_in1k"
CLASSES = ["Center", "Edge <b>Ring</b>", "Random"]
LABELS = {"Center": "center", "Edge <b>Ring</b>": "edge-b-ring-b", "Random": "random"}
CLASSIFIER = ClassifierUse(image_size=48)
DRAWN = Drawn(size=32)
CELL = {"protocol": "cv5", "seed": 42, "replicate": 0, "fold": 1, "backbone": TINY, "condition": "real_aug"}
COUNTS = {"n_train_real": 45, "n_train_synthetic": 0, "n_train_repeated": 0, "n_added": 0, "steps": 9}
CPU = torch.device("cpu")


def wafer(rng, label, size=20):
    radius = np.hypot(*np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j])
    rate = {"center": radius < 0.4, "edge-b-ring-b": radius > 0.75, "random": radius < 2}[label]
    failing = rng.random(radius.shape) < 0.04 + rate * (0.3 if label == "random" else 0.9)
    return ((radius <= 1) * (1 + failing)).astype(np.uint8)


def wafers(n=150, seed=0):
    rng = np.random.default_rng(seed)
    labels = [list(LABELS.values())[i % 3] for i in range(n)]
    names = [CLASSES[i % 3] for i in range(n)]
    store = WaferStore.of([wafer(rng, label, 20 + i % 2) for i, label in enumerate(labels)])
    return WaferSet(store, names, [""] * n, [f"w{i:03d}" for i in range(n)])


def make_cell(folder):
    """Files of a study with one cell, by name; wafers 0-44 train, 45-104 validate, the rest tests."""
    torch.set_num_threads(1)
    seed_everything(3)
    ours, names = wafers(), list(LABELS.values())
    files = {
        name: folder / file
        for name, file in {
            **{"store": "wafers.h5", "wafers": "wafers.parquet", "scores": "scores.parquet"},
            **{"checkpoint": "checkpoint.safetensors", "features": "features.h5", "svm": "svm.h5"},
            **{"validation": "validation.parquet", "softmax": "softmax.parquet"},
        }.items()
    }
    model, mean, std = create_backbone(TINY, 3, False, image_size=CLASSIFIER.image_size)
    images, y = render(ours.store, DRAWN), np.arange(len(ours.ids)) % 3
    features, _ = predict(model.eval(), Normaliser(mean, std, 48), images, CPU, CLASSIFIER.precision)
    fit_head(model.get_classifier(), features[:45], y[:45])
    features, p = predict(model, Normaliser(mean, std, 48), images, CPU, CLASSIFIER.precision)
    splits = {"train": slice(0, 45), "val": slice(45, 105), "test": slice(105, 150)}
    arrays, provenance = {"classes": np.array(names)}, {"cell": {**CELL, **COUNTS}}
    for split, part in splits.items():
        arrays |= {f"{split}_features": features[part], f"{split}_labels": y[part]}
        arrays |= {f"{split}_ids": np.array(ours.ids[part])}
    write_store(files["store"], ours.store)
    write_table(files["wafers"], wafer_table(ours))
    write_weights(files["checkpoint"], model.state_dict(), provenance)
    write_h5(files["features"], arrays, provenance)
    fit_ecoc_svm(features[:45], y[:45], SvmSettings(memory_gb=1)).write(files["svm"])
    for name, split in (("validation", "val"), ("softmax", "test")):
        part = splits[split]
        ids, true = np.array(ours.ids[part]), y[part].copy()
        if name == "validation":
            true[::4] = (true[::4] + 1) % 3  # some labels are wrong, so that a temperature is to be found
        table = prediction_table({**CELL, **COUNTS}, "softmax", ids, true, p[part].argmax(1), names, p[part])
        write_table(files[name], table, provenance)
    score = read_table(files["softmax"]).head(1)[[*CELL, "head"]].assign(macro_f1=0.9, accuracy=0.9)
    write_table(files["scores"], score)
    return files


def fit_head(head, features, y):
    """Least squares to logits of 3 for the true class and 0 for the others, with a little shrinkage."""
    x = np.c_[features, np.ones(len(features))].astype(np.float64)
    ridge = 1e-3 * np.trace(x.T @ x) / x.shape[1] * np.eye(x.shape[1])
    weights = torch.from_numpy(np.linalg.solve(x.T @ x + ridge, x.T @ (3.0 * np.eye(3)[y]))).float()
    with torch.no_grad():
        head.weight.copy_(weights[:-1].T)
        head.bias.copy_(weights[-1])


class Blocks(nn.Module):
    """A network as predictions need one, in no time: 96 features, three classes."""

    def forward_features(self, x):
        return nn.functional.interpolate(x, (8, 12))[:, 0].flatten(1)

    def forward_head(self, maps, pre_logits=False):
        return maps if pre_logits else maps[:, 40:43]


class Files(dict):
    """Named files, reached as Snakemake's are."""

    __getattr__ = dict.__getitem__


def run(folder, name, settings, inputs, outputs, wildcards=None):
    """Run a script of the workflow as Snakemake would, for the study ``small`` in a folder."""
    snakemake = SimpleNamespace(
        params=SimpleNamespace(settings=settings.model_dump_json(), code="0"),
        wildcards=wildcards or {},
        input=Files(inputs),
        output=Files({key: str(path) for key, path in outputs.items()}),
        threads=1,
        resources={},
        rule=name,
        config={"study": "small"},
        log=[],
    )
    (script,) = SCRIPTS.glob(f"*/{name}.py")
    with chdir(folder):
        runpy.run_path(str(script), {"snakemake": snakemake})
