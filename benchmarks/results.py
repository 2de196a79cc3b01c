"""The tables of docs/results.md, made of the finished folds of studies that are kept in docs/results/.

python benchmarks/results.py results/wm811k    (the folds that this study has finished, kept; then the tables)
python benchmarks/results.py                   (the tables, of what is kept)

Kept are the score of every cell, its F1 of each class, and how many samples of each source carry their class: rows of
a few bytes, so that a study of days may go on where others stopped it. Rows of a fold that is there already are
replaced. ``identity`` is the digest of all that a cell was made from: settings, code and inputs. A table stands between
`<!-- results: STUDY -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
from pathlib import Path

import pandas as pd
from common import ROOT

from waferbench.base.artifacts import read_provenance, read_table
from waferbench.base.files import canonical_json
from waferbench.base.tables import RUN, TABLES
from waferbench.engine.version import VERSION
from waferbench.statistics.comparisons import compare_conditions

PAGE, KEPT = ROOT / "docs/results.md", ROOT / "docs/results"
PLACE = re.compile(r"(<!-- results: (\S+) -->\n)(.*?)(<!-- end -->)", re.S)
FOLD = [*RUN, "fold"]
BASELINE, REFERENCE = "real_aug", "oversample"
PARTS = {  # columns of each file
    "scores": [*TABLES["scores"], "identity", "version", "commit"],
    "classes": [*TABLES["per_class"]],
    "labels": [*FOLD, "source", "label", "n", "share"],
}


def identity(study: Path, row: pd.Series) -> str:
    """Of the predictions of a cell's head: twelve digits of what they were made from."""
    cell = study / row["protocol"] / f"seed{row['seed']}" / f"fold{row['fold']}" / "cells" / row["backbone"]
    made = read_provenance(cell / row["condition"] / f"{row['head']}.parquet")
    made.pop("made_by", None)
    return hashlib.sha256(canonical_json(made).encode()).hexdigest()[:12]


def commit() -> str:
    """The one that is checked out, with a plus where the code was changed since."""
    git = ["git", "-C", str(ROOT)]
    found = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True)
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "workflow", "Snakefile"], check=False).returncode
    return found.stdout.strip() + ("+" if changed else "")


def shares(agreement: pd.DataFrame, reconstruction: pd.DataFrame) -> pd.DataFrame:
    """How many samples of each source and class the judge takes for it, in the pool that training takes from."""
    pool = agreement[agreement["in_pool"].astype(bool)]
    right = pool.assign(right=pool["y_judge"] == pool["label"]).groupby([*FOLD, "source", "label"])["right"]
    drawn = right.agg(n="size", share="mean").reset_index()
    parts = [drawn]
    for column, what in (
        ("agreement", "real wafers through its autoencoder"),
        ("agreement_original", "these as they are"),
    ):
        passed = reconstruction.assign(source=reconstruction["source"] + f": {what}", share=reconstruction[column])
        parts.append(passed[PARTS["labels"]])
    return pd.concat(parts, ignore_index=True)


def keep(study: Path) -> None:
    """Add a study's folds to the files of docs/results/."""
    scores = read_table(study / "scores.parquet")
    scores = scores.assign(identity=[identity(study, row) for _, row in scores.iterrows()])
    tables = {
        "scores": scores.assign(version=VERSION, commit=commit()),
        "classes": read_table(study / "per_class.parquet"),
        "labels": shares(*(read_table(study / f"{name}.parquet") for name in ("agreement", "reconstruction"))),
    }
    KEPT.mkdir(exist_ok=True)
    for part, table in tables.items():
        file, new = KEPT / f"{study.name}-{part}.csv", table[PARTS[part]]
        if file.exists():
            old = pd.read_csv(file, dtype={"identity": str, "commit": str})
            again = old.set_index(FOLD).index.isin(new.set_index(FOLD).index)
            new = pd.concat([old[~again], new], ignore_index=True)
        new.sort_values(list(new.columns[:8]), kind="stable").to_csv(file, index=False, float_format="%.5f")


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def points(row: pd.Series) -> str:
    """A difference in points of macro-F1, with its interval and the smallest one that would have been found."""
    text = f"{100 * row['mean_difference']:+.1f}"
    if pd.isna(row["ci_low"]):
        return text
    told = f"{text} ({100 * row['ci_low']:+.1f} to {100 * row['ci_high']:+.1f})"
    return f"**{told}**" if row["ci_low"] > 0 or row["ci_high"] < 0 else told


def spread(values: pd.Series) -> str:
    """Mean and standard deviation over folds."""
    return f"{values.mean():.4f}" + (f" +- {values.std():.4f}" if len(values) > 1 else "")


def of_study(name: str) -> str:
    """The tables of a study: scores and gains, F1 of each class, labels of each source."""
    kept = {part: pd.read_csv(KEPT / f"{name}-{part}.csv", dtype={"identity": str, "commit": str}) for part in PARTS}
    scores, conditions = kept["scores"], list(dict.fromkeys(kept["scores"]["condition"]))
    conditions.sort(key=lambda condition: (condition not in (BASELINE, REFERENCE, "oracle"), condition))
    folds, made = sorted(scores["fold"].unique()), sorted(set(scores["commit"]))
    parts = [
        f"Folds {', '.join(map(str, folds))} of {scores['protocol'].iloc[0]}, seed"
        f" {', '.join(map(str, sorted(scores['seed'].unique())))}, commit {', '.join(f'`{each}`' for each in made)}."
    ]
    for backbone, cells in scores.groupby("backbone"):
        gains = compare_conditions(cells, BASELINE, references=[REFERENCE])
        gains = gains[gains["metric"] == "macro_f1"].set_index(["head", "condition", "reference"])
        rows = []
        for condition in conditions:
            mine = cells[cells["condition"] == condition]
            by_head = {head: part for head, part in mine.groupby("head")}
            row = [f"`{condition}`", f"{mine['n_added'].mean():,.0f}", f"{mine['steps'].mean():,.0f}"]
            row += [spread(by_head[head]["macro_f1"]) for head in ("ecoc_svm", "softmax")]
            for reference in (BASELINE, REFERENCE):
                key = ("ecoc_svm", condition, reference)
                row.append(points(gains.loc[key]) if key in gains.index else "")
            key = ("ecoc_svm", condition, REFERENCE)
            least = gains.loc[key, "power_effect"] if key in gains.index else float("nan")
            rows.append([*row, "" if pd.isna(least) else f"{100 * least:.1f}"])
        head = ["condition", "added", "steps", "macro-F1 ECOC-SVM", "softmax", f"against `{BASELINE}`"]
        parts.append(f"`{backbone}`:\n\n" + markdown([*head, f"against `{REFERENCE}`", "sees"], rows))
    labels = list(dict.fromkeys(kept["classes"]["label"]))
    first = kept["classes"][kept["classes"]["head"] == "ecoc_svm"]
    by = first.groupby(["condition", "label"])["f1"].mean().unstack()
    rows = [[f"`{name}`", *(f"{by.loc[name, label]:.3f}" for label in labels)] for name in conditions]
    parts.append(markdown(["F1, ECOC-SVM", *labels], rows))
    by = kept["labels"].groupby(["source", "label"])["share"].mean().unstack()
    order = sorted(by.index, key=lambda source: (source != "real", source != "oracle", source))
    rows = [[f"{by.loc[name].mean():.2f}", *(f"{by.loc[name, label]:.2f}" for label in labels)] for name in order]
    rows = [[name, *row] for name, row in zip(order, rows, strict=True)]
    parts.append(markdown(["taken for their class", "mean", *labels], rows))
    return "\n\n".join(parts)


def main() -> None:
    """Keep, and fill the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, nargs="?", help="folder of a study")
    args = parser.parse_args()
    if args.study:
        keep(args.study)
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(PLACE.sub(lambda m: f"{m[1]}\n{of_study(m[2])}\n\n{m[4]}", page), encoding="utf-8")


if __name__ == "__main__":
    main()
