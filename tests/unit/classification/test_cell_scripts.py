"""The scripts of a cell, one after another: train, SVM, scores, choice; and the model as it is loaded again."""

import numpy as np
import pandas as pd
import pytest
import torch

from helpers.scripts import run_script
from helpers.small_cell import CLASSES, CPU, DRAWN, LABELS, TINY, wafers
from waferbench.base.artifacts import read_h5, read_json, read_provenance, read_table, write_table
from waferbench.base.tables import INJECTION, TABLES, probabilities
from waferbench.classification.scores import macro_f1
from waferbench.classification.train import predict
from waferbench.classification.trained import load_classifier
from waferbench.config.classification import Augmentation, ClassifierSettings, ClassifierUse, SvmSettings
from waferbench.config.stages import NetworkWeights, WeightSearch
from waferbench.config.synthesis import stages
from waferbench.wafers.folds import capped
from waferbench.wafers.leakage import fitted_on
from waferbench.wafers.render import render
from waferbench.wafers.splitting import assign_folds, fold_table, with_spare
from waferbench.wafers.store import read_store, write_store
from waferbench.wafers.table import wafer_table

NAMES = list(LABELS.values())
STRONG = ClassifierSettings(recipe="strong", image_size=32, steps=12, looks=3)
RUN = {"protocol": "cv3", "seed": 7, "classes": CLASSES}
CONDITIONS = ("real_aug", "oversample")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The folder of a study of two conditions that the scripts have gone through, strong recipe, three code books."""
    torch.set_num_threads(1)
    folder, ours = tmp_path_factory.mktemp("cells"), wafers(120)
    table = wafer_table(ours)
    folds = fold_table(table["wafer_id"].to_numpy(), assign_folds(table["label"].to_numpy(), 3), 3)
    folds = with_spare(folds, table, 10)
    write_store(folder / "wafers.h5", ours.store)
    write_table(folder / "selected.parquet", table)
    write_table(folder / "folds.parquet", folds)
    train = folds[(folds["fold"] == 1) & (folds["split"] == "train")]["wafer_id"]
    kept = capped(table[table["wafer_id"].isin(train)], 5)
    repeats = [("repeat", row.label, -1, row.wafer_id, "train") for row in kept.itertuples()]
    shared = {"store": folder / "wafers.h5", "selected": folder / "selected.parquet", "folds": folder / "folds.parquet"}
    for condition in CONDITIONS:
        cell = folder / condition
        injection = pd.DataFrame(repeats if condition == "oversample" else [], columns=INJECTION)
        write_table(folder / f"{condition}.parquet", injection.astype({"index": int}))
        settings = stages.TrainClassifier.of(
            **RUN,
            classifier=STRONG,
            augmentation=Augmentation.of(STRONG),
            backbone=stages.ChosenBackbone(name=TINY, pretrained=False),
            drawn=DRAWN,
            weights=NetworkWeights(),
        )
        files = {"checkpoint": "checkpoint.safetensors", "features": "features.h5", "predictions": "softmax.parquet"}
        files |= {"validation": "validation.parquet", "history": "history.parquet"}
        given = {
            "inputs": {**shared, "injection": folder / f"{condition}.parquet"},
            "outputs": {name: cell / file for name, file in files.items()},
            "wildcards": {"protocol": "cv3", "seed": "7", "fold": "1", "backbone": TINY, "condition": condition},
        }
        run_script("synthesis/train_classifier", folder, settings, **given)
        svm = stages.FitSvm.of(**RUN, svm=SvmSettings(code_seeds=3))
        files = {"model": "svm.h5", "predictions": "ecoc_svm.parquet", "validation": "ecoc_svm_validation.parquet"}
        outputs = {name: cell / file for name, file in files.items()}
        run_script("synthesis/fit_svm", folder, svm, inputs={"features": cell / "features.h5"}, outputs=outputs)
    scored = stages.Scored(classes={"cv3": CLASSES})
    heads = [folder / condition / f"{head}.parquet" for condition in CONDITIONS for head in ("softmax", "ecoc_svm")]
    outputs = {name: folder / f"{name}.parquet" for name in ("predictions", "scores", "per_class")}
    run_script("synthesis/collect_scores", folder, scored, inputs={"cells": heads}, outputs=outputs)
    return folder


def test_counts_steps_and_cap(study):
    scores = read_table(study / "scores.parquet")
    assert tuple(scores) == TABLES["scores"] and len(scores) == 4
    assert set(scores["steps"]) == {12} and set(scores["n_train_real"]) == {30}
    by = scores[scores["head"] == "softmax"].set_index("condition")
    assert by["n_added"].to_dict() == {"real_aug": 0, "oversample": 15} and not by["n_train_synthetic"].any()
    assert read_table(study / "real_aug/history.parquet")["step"].tolist() == [4, 8, 12]
    table, folds = read_table(study / "selected.parquet"), read_table(study / "folds.parquet")
    train = folds[(folds["fold"] == 1) & (folds["split"] == "train")]["wafer_id"]
    kept, provenance = table[table["wafer_id"].isin(train)], read_provenance(study / "real_aug/checkpoint.safetensors")
    assert provenance["fitted_on"] == fitted_on(kept)["fitted_on"] and provenance["n_fitted"] == len(train) == 30


def test_whoever_loads_the_strong_classifier_gets_the_probabilities_of_its_tables(study):
    classifier = ClassifierUse.of(STRONG)
    assert classifier.symmetries
    model, normalise = load_classifier(
        study / "real_aug/checkpoint.safetensors", TINY, NAMES, classifier, DRAWN.levels, WeightSearch()
    )
    rows = read_table(study / "selected.parquet").set_index("wafer_id")["row"]
    for name in ("softmax", "validation"):
        known = read_table(study / f"real_aug/{name}.parquet")
        images = render(read_store(study / "wafers.h5").take(rows.loc[known["wafer_id"]]), DRAWN)
        _, found = predict(model, normalise, images, CPU, "auto")
        if name == "softmax":
            np.testing.assert_allclose(found, known[probabilities(NAMES)], atol=1e-5)
            assert (np.array(NAMES)[found.argmax(1)] == known["y_pred"]).all()
        else:  # the same logits, moved by one of two vectors of offsets, which have not seen the wafer
            apart = np.log(known[probabilities(NAMES)].to_numpy()) - np.log(found)
            apart = (apart - apart[:, :1]).round(3)
            assert 1 <= len(np.unique(apart, axis=0)) <= 2
            assert len(np.unique(apart[known["y_true"] == NAMES[0]], axis=0)) == len(np.unique(apart, axis=0))


def test_every_code_book_is_scored_by_itself(study):
    table = read_table(study / "real_aug/ecoc_svm.parquet")
    place = {name: k for k, name in enumerate(NAMES)}
    y = table["y_true"].map(place).to_numpy()
    alone = [macro_f1(y, table[f"y_book_{k}"].map(place).to_numpy(), 3) for k in range(3)]
    scores = read_table(study / "scores.parquet").set_index(["condition", "head"])
    assert scores.loc[("real_aug", "ecoc_svm"), "code_spread"] == pytest.approx(np.std(alone, ddof=1))
    ids = read_table(study / "real_aug/ecoc_svm_validation.parquet")["wafer_id"]
    assert list(ids) == list(read_h5(study / "real_aug/features.h5", ["val_ids"])["val_ids"].astype(str))


def test_the_choice_is_among_all_heads(study, capsys):
    files = [study / condition / file for condition in CONDITIONS for file in ("validation", "ecoc_svm_validation")]
    inputs = {"scores": study / "scores.parquet", "validation": [file.with_suffix(".parquet") for file in files]}
    settings = stages.ChooseModel(
        protocols=["cv3"], leaky=[], classes={"cv3": CLASSES}, backbones=[TINY], conditions=CONDITIONS
    )
    run_script("synthesis/choose_model", study, settings, inputs=inputs, outputs={"model": study / "model.json"})
    chosen = read_json(study / "model.json")
    assert chosen["n_recipes"] == 4 and chosen["fold"] == 1 and chosen["tied"][0]["condition"] == chosen["condition"]
    scores = read_table(study / "scores.parquet").set_index(["condition", "head"])["macro_f1"]
    assert chosen["macro_f1"] == scores[(chosen["condition"], chosen["head"])]
    assert ("a tie on validation wafers" in capsys.readouterr().err) == (len(chosen["tied"]) > 1)
