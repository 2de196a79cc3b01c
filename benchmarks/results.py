"""The tables of docs/results.md, made of the finished folds of studies that are kept in docs/results/.

python benchmarks/results.py results/wm811k --commit 1a2b3c4   (its finished folds kept, the version that ran named)
python benchmarks/results.py                                   (the tables, of what is kept)

Kept are the score of every cell, its F1 of each class, how many samples of each source carry their class, how good and
how easily told from real wafers they are, and the intervals over test wafers of the folds that were run together: rows
of a few bytes, so that a study of days may go on where others stopped it. Rows of a cell that is there already are
replaced. ``identity`` is the digest of all that a cell's predictions were made from: settings, code and inputs;
``settings`` is that of the settings alone by which its fold was made, generators included. A table stands between
`<!-- results: STUDY -->` and `<!-- end -->`; folds that a study's settings were tuned on are kept and not reported.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import re
from pathlib import Path
from typing import Any

import pandas as pd
from common import ROOT, commit

from waferbench.base.artifacts import read_provenance, read_table
from waferbench.base.files import canonical_json
from waferbench.base.seals import SEALED
from waferbench.base.tables import ALL, CELL, KID, RUN, TABLES
from waferbench.statistics.comparisons import compare_conditions
from waferbench.statistics.labels import shares

PAGE, KEPT = ROOT / "docs/results.md", ROOT / "docs/results"
PLACE = re.compile(r"(<!-- results: (\S+) -->\n)(.*?)(<!-- end -->)", re.S)
TUNED_ON = {"wm811k": 0}  # study -> fold
FOLD = [*RUN, "fold"]
BASELINE, REFERENCE, HEADS = "real_aug", "oversample", ("ecoc_svm", "softmax")
QUALITY = ("coverage", "precision", "recall", "density", KID)  # and their floors
KEYS = {
    "scores": [*CELL],
    "classes": [*CELL, "label"],
    "labels": [*FOLD, "source", "label"],
    "quality": [*FOLD, "source", "reference", "metric"],
    "texture": [*FOLD, "condition"],
    "intervals": ["protocol", "folds", "head", "backbone", "condition", "reference"],
}
PARTS = {  # columns of each file
    "scores": [*TABLES["scores"], "identity", "settings", "version", "commit"],
    "classes": [*TABLES["per_class"]],
    "labels": [*FOLD, "source", "label", "n", "share"],
    "quality": [*KEYS["quality"], "value", "low", "high", "n", "n_real", "network"],
    "texture": [*TABLES["texture"]],
    "intervals": [*KEYS["intervals"], "value", "low", "high", "n_wafers", "confidence"],
}


def digest(value: Any) -> str:
    """Twelve digits of a JSON value's."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:12]


def fold_of(study: Path, row: pd.Series) -> Path:
    """Where a cell's fold lies."""
    return study / row["protocol"] / f"seed{row['seed']}" / f"fold{row['fold']}"


def settings_of(fold: Path, study: Path) -> str:
    """Digest of the settings by which a fold's synthesizers, cells and the study's bases were made: of every fold the
    same, unless they were changed on the way."""
    folders = [*(fold / name for name in ("sources", "shape", "injection", "cells")), study / "bases"]
    files = (file for folder in folders for file in folder.rglob("*") if file.suffix in SEALED)
    made = [read_provenance(file) for file in files if "shards" not in file.parts]
    return digest(sorted({canonical_json([each.get("rule"), each.get("settings")]) for each in made}))


def carried(agreement: pd.DataFrame, reconstruction: pd.DataFrame) -> pd.DataFrame:
    """How many samples of each source and class the judge takes for it, in the pool that training takes from."""
    parts = [shares(agreement, KEYS["labels"]).reset_index()]
    through = {"agreement": "real wafers through its autoencoder", "agreement_original": "these as they are"}
    for column, what in through.items():
        passed = reconstruction.assign(source=reconstruction["source"] + f": {what}", share=reconstruction[column])
        parts.append(passed[PARTS["labels"]])
    return pd.concat(parts, ignore_index=True)


def together(quality: pd.DataFrame) -> pd.DataFrame:
    """What tells how good the samples of all classes together are, of those that training takes from."""
    of = (quality["label"] == ALL) & (quality["stage"] == "kept")
    return quality[of & quality["metric"].str.removeprefix("floor_").isin(QUALITY)]


def keep(study: Path, version_run: str) -> None:
    """Add a study's cells to the files of docs/results/."""
    scores = read_table(study / "scores.parquet")
    digests = {fold: settings_of(fold, study) for fold in {fold_of(study, row) for _, row in scores.iterrows()}}
    made, folds = [], " ".join(map(str, sorted({*scores["fold"]})))
    for _, row in scores.iterrows():
        cell = fold_of(study, row) / "cells" / row["backbone"] / row["condition"]
        provenance = read_provenance(cell / f"{row['head']}.parquet")
        version = provenance.pop("made_by", "")
        made.append((digest(provenance), digests[fold_of(study, row)], version.removeprefix("waferbench ")))
    scores[["identity", "settings", "version"]] = made
    tables = {
        "scores": scores.assign(commit=version_run),
        "classes": read_table(study / "per_class.parquet"),
        "labels": carried(*(read_table(study / f"{name}.parquet") for name in ("agreement", "reconstruction"))),
        "quality": together(read_table(study / "quality.parquet")),
        "texture": read_table(study / "texture.parquet"),
        "intervals": read_table(study / "intervals.parquet").assign(folds=folds),
    }
    KEPT.mkdir(exist_ok=True)
    for part, table in tables.items():
        file, new, key = KEPT / f"{study.name}-{part}.csv", table[PARTS[part]], KEYS[part]
        if file.exists():
            new = pd.concat([read(study.name, part), new], ignore_index=True).drop_duplicates(key, keep="last")
        new.sort_values(key, kind="stable").to_csv(file, index=False, float_format="%.5f")


def read(study: str, part: str) -> pd.DataFrame:
    """Rows that are kept."""
    rows = pd.read_csv(KEPT / f"{study}-{part}.csv", dtype=dict.fromkeys([*PARTS["scores"][-4:], "folds"], str))
    return rows.fillna({"reference": ""})  # of intervals: empty where the score itself stands


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def points(row: pd.Series) -> str:
    """A difference in points of macro-F1, with its interval."""
    text = f"{100 * row['mean_difference']:+.1f}"
    if pd.isna(row["ci_low"]):
        return text
    told = f"{text} ({100 * row['ci_low']:+.1f} to {100 * row['ci_high']:+.1f})"
    return f"**{told}**" if row["p_holm"] < 0.05 else told


def spread(values: pd.Series) -> str:
    """Mean and standard deviation over folds."""
    if values.empty:
        return ""
    return f"{values.mean():.4f}" + (f" +- {values.std():.4f}" if len(values) > 1 else "")


def share(value: float, digits: int = 2) -> str:
    """A fraction, "" for none."""
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def of_backbone(cells: pd.DataFrame, head: str) -> str:
    """Scores by one head, and differences from the baseline and from repeated wafers."""
    gains = compare_conditions(cells, BASELINE, references=[REFERENCE])
    gains = gains[(gains["metric"] == "macro_f1") & (gains["head"] == head)].set_index(["condition", "reference"])
    rows = []
    for condition, mine in cells[cells["head"] == head].groupby("condition", sort=False):
        row = [f"`{condition}`", f"{mine['n_added'].mean():,.0f}", spread(mine["macro_f1"])]
        row += [points(gains.loc[condition, r]) if (condition, r) in gains.index else "" for r in (BASELINE, REFERENCE)]
        least = gains["power_effect"].get((condition, REFERENCE), math.nan)
        rows.append([*row, "" if math.isnan(least) else f"{100 * least:.1f}"])
    columns = ["condition", "added", f"macro-F1, {head}", f"against `{BASELINE}`", f"against `{REFERENCE}`", "sees"]
    return markdown(columns, rows)


def of_study(name: str) -> str:
    """The tables of a study: by each backbone and head scores and gains, F1 of each class; labels of each source."""
    kept = {part: read(name, part) for part in ("scores", "classes", "labels")}
    kept = {part: table[table["fold"] != TUNED_ON.get(name)] for part, table in kept.items()}
    scores = kept["scores"]
    if scores["protocol"].nunique() > 1 or scores["settings"].nunique() > 1:
        raise SystemExit(f"{name}: rows of several protocols or settings do not make one table; keep those of one")
    order = [*dict.fromkeys([BASELINE, REFERENCE, "oracle", *sorted(scores["condition"].unique())])]
    scores = scores.sort_values("condition", key=lambda names: names.map(order.index), kind="stable")
    told = {column: sorted({str(each) for each in scores[column]}) for column in ("fold", "seed", "settings", "commit")}
    folds = f"Fold{'s' if len(told['fold']) > 1 else ''} {', '.join(told['fold'])}"
    what = f"{folds} of {scores['protocol'].iloc[0]}, seed {', '.join(told['seed'])}"
    parts = [f"{what}; commit `{'`, `'.join(told['commit'])}`, settings `{told['settings'][0]}`."]
    for backbone, cells in scores.groupby("backbone"):
        for head in (head for head in HEADS if (cells["head"] == head).any()):
            parts.append(f"`{backbone}`:\n\n{of_backbone(cells, head)}")
    classes, labels = kept["classes"], list(dict.fromkeys(kept["classes"]["label"]))
    first = classes[classes["head"] == HEADS[0]]
    for backbone, cells in first.groupby("backbone"):
        by = cells.groupby(["condition", "label"])["f1"].mean().unstack().reindex(columns=labels)
        rows = [[f"`{one}`", *(share(f1, 3) for f1 in by.loc[one])] for one in order if one in by.index]
        parts.append(markdown([f"F1, {HEADS[0]}, `{backbone}`", *labels], rows))
    by = kept["labels"].groupby(["source", "label"])["share"].mean().unstack().reindex(columns=labels)
    judged = kept["labels"].groupby("source")["fold"].nunique()
    sources = sorted(by.index, key=lambda source: (source != "real", source != "oracle", source))
    rows = [[one, str(judged[one]), share(by.loc[one].mean()), *map(share, by.loc[one])] for one in sources]
    parts += [markdown(["taken for their class", "folds", "mean", *labels], rows)] if rows else []
    return "\n\n".join(parts)


def filled(page: str) -> str:
    """The page with its tables made anew."""
    return PLACE.sub(lambda match: f"{match[1]}\n{of_study(match[2])}\n\n{match[4]}", page)


def main() -> None:
    """Keep, and fill the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, nargs="?", help="folder of a study")
    parser.add_argument("--commit", help="that the study was run by; default: the one that is checked out")
    args = parser.parse_args()
    if args.study:
        keep(args.study, args.commit or commit())
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
