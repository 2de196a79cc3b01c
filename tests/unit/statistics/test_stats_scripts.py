"""The scripts that read the tables of scores, run as Snakemake runs them."""

import numpy as np
import pandas as pd

from helpers.scripts import run_script
from waferbench.base.artifacts import read_table, write_json, write_table
from waferbench.base.tables import COUNTS, TABLES
from waferbench.classification.predictions import prediction_table
from waferbench.classification.scores import collect
from waferbench.config.synthesis.settings import NamedCondition
from waferbench.config.synthesis.stages import AnalyseGrid, CompareConditions, MakeFindings

CLASSES = ["Center", "Edge-Ring", "Loc"]
LABELS = ["center", "edge-ring", "loc"]
RIGHT = {"real_aug": 0.5, "oversample": 0.55, "oracle": 0.9, "gan": 0.7}
CONDITIONS = [
    NamedCondition(name="real_aug", source="none"),
    NamedCondition(name="oversample", source="repeat"),
    NamedCondition(name="oracle", source="oracle"),
    NamedCondition(name="gan", source="gan"),
]
GIVEN = {"baseline": "real_aug", "leaky": ["leaky_80_20"], "confidence": 0.95}


def cells(protocol, draw):
    rng, y = np.random.default_rng(draw), np.arange(150) % 3
    ids = np.array([f"{draw}-{i:03d}" for i in range(len(y))])
    for fold in range(4):
        for condition, right in RIGHT.items():
            cell = {"protocol": protocol, "seed": 1, "replicate": fold, "fold": fold, "backbone": "net"}
            cell |= {"condition": condition, **dict.fromkeys(COUNTS, 60)}
            for head in ("softmax", "ecoc_svm"):
                called = np.where(rng.random(len(y)) < right, y, rng.integers(3, size=len(y)))
                yield prediction_table(cell, head, ids, y, called, LABELS)


def test_scripts_write_the_tables_that_they_declare(tmp_path):
    tables = [table for name in ("leaky_80_20", "replicates4") for table in cells(name, 0)]
    classes = dict.fromkeys(("leaky_80_20", "replicates4"), CLASSES)
    write_table(tmp_path / "scores.parquet", collect(tables, dict.fromkeys(classes, LABELS))[1])
    write_json(tmp_path / "net.json", {"backbone": "net", "parameters": 9, "macs": 9, "image_size": 32})
    validation = []
    for i, table in enumerate(table for name in classes for table in cells(name, 1)):
        validation.append(tmp_path / f"validation{i}.parquet")
        write_table(validation[-1], table)
    beside = {}
    for name in ("agreement", "texture", "reconstruction"):
        beside[name] = tmp_path / f"{name}.parquet"
        write_table(beside[name], pd.DataFrame(columns=list(TABLES[name])))
    out = {name: tmp_path / f"out/{name}.parquet" for name in TABLES}
    scores = {"scores": tmp_path / "scores.parquet"}
    grid = {**GIVEN, "conditions": CONDITIONS, "oracles": ["oracle"]}

    compare = CompareConditions(**GIVEN, references=["oversample"])
    run_script("synthesis/compare_conditions", tmp_path, compare, inputs=scores, outputs=out)
    names = ("heads", "ranks", "rank_pairs", "decomposition", "saturation", "ceiling", "mixed_model", "backbones")
    inputs = {**scores, "backbones": [tmp_path / "net.json"]}
    analysed = {name: out[name] for name in names}
    run_script("synthesis/analyse_grid", tmp_path, AnalyseGrid(**grid), inputs=inputs, outputs=analysed)
    finding = MakeFindings(**grid, classes=classes, protocols=["leaky_80_20", "replicates4"])
    inputs = {**scores, **beside, "validation": validation}
    run_script("synthesis/make_findings", tmp_path, finding, inputs=inputs, outputs={"findings": out["findings"]})

    found = {name: read_table(out[name]) for name in ("comparisons", *names, "findings")}
    for name, table in found.items():
        assert tuple(table) == TABLES[name], name
        assert "protocol" not in table or "leaky_80_20" not in set(table["protocol"]) or name == "heads"
    assert set(found["comparisons"]["reference"]) == {"real_aug", "oversample"}
    assert found["ceiling"].set_index(["head", "condition"]).loc[("softmax", "gan"), "share"] > 0
    assert set(found["ranks"]["condition"]) == {"real_aug", "oversample", "gan"}, "the oracle is no rival"
    first = found["findings"].iloc[0]
    assert first["finding"] == "headline" and first["text"].startswith("Perfect synthesis adds") and first["n"] == 4
    assert "best generator (gan) reaches" in first["text"]
