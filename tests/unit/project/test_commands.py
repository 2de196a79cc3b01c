"""Documented commands name targets before options: after some of them Snakemake takes a target for a value."""

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from snakemake.cli import get_argument_parser

ROOT = Path(__file__).parents[3]
PLACES = ("*.md", "docs/*.md", "config/*", "profiles/**/*", "Snakefile", ".ci/run", "workflow/**/*")
FILES = {
    file for place in PLACES for file in ROOT.glob(place) if file.is_file() and file.suffix not in {".pyc", ".png"}
}
TEXTS = sorted(
    file for file in FILES - {ROOT / "CHANGELOG.md"} if re.search(r"\bsnakemake .*-", file.read_text("utf-8"))
)
COMMAND = re.compile(r"(?<![\w./-])snakemake((?: +(?:'[^']*'|\"[^\"]*\"|[^\s'\"`#;&|,)]+))+)")
"""From the program's name to the end of the line or of what is quoted there, or to a comment."""


@cache
def targets() -> set[str]:
    """The names of all rules."""
    files = [ROOT / "Snakefile", *(ROOT / "workflow/rules").rglob("*.smk")]
    return {name for file in files for name in re.findall(r"^(?:rule|checkpoint) (\w+):", file.read_text(), re.M)}


@cache
def arities() -> dict[str, object]:
    """Option -> how many values it takes, as argparse says it: 0, None for one, "+" and "*" for many."""
    return {name: action.nargs for action in get_argument_parser()._actions for name in action.option_strings}


def commands(text: str) -> list[list[str]]:
    """The arguments of every call of Snakemake with an option that a text shows; a line may go on after a backslash."""
    joined = re.sub(r" *\\\n[ #]*", " ", text)
    found = [shlex.split(match[1]) for match in COMMAND.finditer(joined)]
    return [arguments for arguments in found if any(argument.startswith("-") for argument in arguments)]


def is_target(argument: str) -> bool:
    return argument in targets() or argument.startswith("results/")


def late_targets(arguments: list[str]) -> list[str]:
    """Targets that stand after the first option and are not the value that it should have."""
    late, values = [], 0
    first = next(i for i, argument in enumerate(arguments) if argument.startswith("-"))
    for argument in arguments[first:]:
        if argument.startswith("-"):
            name, given, _ = argument.partition("=")
            assert name in arities(), f"Snakemake has no option {name}"
            arity = 0 if given else arities()[name]
            values = {0: 0, None: 1, "?": 1}.get(arity, 99)
        elif values != 1 and is_target(argument):
            late.append(argument)
        else:
            values -= values > 0  # what is left over is prose
    return late


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_targets_stand_before_options(file: Path):
    for arguments in commands(file.read_text(encoding="utf-8")):
        assert late_targets(arguments) == [], f"snakemake {shlex.join(arguments)}"


def test_commands_are_found_and_their_targets_told():
    readme = commands((ROOT / "README.md").read_text())
    assert len(readme) >= 12 and {"predict", "export", "provenance", "doctor"} <= {arguments[0] for arguments in readme}
    assert {"all", "predict", "doctor"} <= targets()


@pytest.mark.parametrize(
    "command, late",
    [
        ("snakemake --cores 8 --resources gpu=1 predict --config wafers=a.csv  # a remark", ["predict"]),
        ("snakemake --cores 8 predict", ["predict"]),
        ("snakemake -n export", ["export"]),
        ("snakemake --configfile config/study.yaml results/s/scores.parquet", ["results/s/scores.parquet"]),
        ("snakemake --config wafers=a.csv \\\n  predict", ["predict"]),
        ("snakemake predict --cores 8 --config wafers=a.csv set='svm.C=1 seed=2' --retries 2", []),
        ("`snakemake --cores 1 --report results/default/workflow.html` writes", []),
        ("say: snakemake provenance -s CLONE/Snakefile and your options", []),
    ],
)
def test_a_late_target_is_told_from_a_value(command: str, late: list[str]):
    (arguments,) = commands(command)
    assert late_targets(arguments) == late
