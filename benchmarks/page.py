"""The tables of docs/benchmarks.md, made of the rows that run.py has written.

python benchmarks/page.py benchmarks/out/rows.csv    (these rows, kept as docs/benchmarks.csv, into the page)
python benchmarks/page.py                            (the rows that are kept)

A table stands between `<!-- figures: NAME NAME -->`, which names its benchmarks, and `<!-- end -->`. Of equal figures
of one machine the last one counts.
"""

from __future__ import annotations

import argparse
import csv
import re
import shutil
from itertools import groupby
from pathlib import Path

from common import ROOT

PAGE = ROOT / "docs/benchmarks.md"
ROWS = ROOT / "docs/benchmarks.csv"
PLACE = re.compile(r"(<!-- figures: ([\w ]+) -->\n)(.*?)(<!-- end -->)", re.S)
Row = dict[str, str]


def read(file: Path) -> list[Row]:
    """The figures of a file of rows, the last one of each kind and machine."""
    with file.open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["state"] == "measured"]
    kinds = ("benchmark", "figure", "against", "arguments", "device", "hardware")
    return list({tuple(row[key] for key in kinds): row for row in rows}.values())


def number(text: str) -> str:
    """Three digits, all those before the point."""
    value = float(text)
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def machine(row: Row) -> str:
    """What the rows below it were measured with."""
    where = f"{row['hardware']}, {'no GPU' if row['device'] == 'cpu' else row['device']}"
    changed = ", changed" if row["dirty"] == "yes" else ""
    code = (
        f"version {row['waferbench']}, commit `{row['commit'][:10]}`{changed}" if row["commit"] else row["waferbench"]
    )
    return f"{where}; Python {row['python']}, torch {row['torch']}; {code}; {row['date'][:10]}"


def load(rows: list[Row]) -> str:
    """How busy the machine was when these benchmarks began."""
    found = sorted(float(row["load"]) for row in rows if row["load"])
    return f"; load {found[0]:.1f} to {found[-1]:.1f}" if found else ""


def line(row: Row) -> str:
    """One line of a table."""
    name = f"{row['figure']}, against {row['against']}" if row["against"] else row["figure"]
    ours = f"{number(row['ours'])} {row['unit']}".rstrip()
    other = f"{number(row['other'])} {row['unit']}" if row["other"] else ""
    ratio = f"**{float(row['ratio']):.3g}**" if row["ratio"] else ""
    return f"| {name} | {ours} | {other} | {ratio} |"


def table(names: list[str], rows: list[Row]) -> str:
    """Markdown: the machine, then the figures of these benchmarks, for each machine; last those without any."""
    rows = [row for row in rows if row["benchmark"] in names]
    parts = []
    for about, group in groupby(sorted(rows, key=machine), machine):
        those = list(group)
        figures = "\n".join(line(row) for row in those)
        parts.append(f"{about}{load(those)}:\n\n| | here | other way | ratio |\n|---|---|---|---|\n{figures}\n")
    missing = [f"`{name}`" for name in names if name not in {row["benchmark"] for row in rows}]
    if missing:
        parts.append(f"Not measured: {', '.join(missing)}.\n")
    return "\n".join(parts)


def filled(page: str, rows: list[Row]) -> str:
    """The page with its tables made anew."""

    def place(match: re.Match) -> str:
        return f"{match[1]}\n{table(match[2].split(), rows)}\n{match[4]}"

    return PLACE.sub(place, page)


def main() -> None:
    """Fill the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, nargs="?", help="what run.py has written")
    args = parser.parse_args()
    if args.rows:
        shutil.copyfile(args.rows, ROWS)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), read(ROWS)), encoding="utf-8")


if __name__ == "__main__":
    main()
