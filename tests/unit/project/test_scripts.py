"""Every script is one function and a call: what is heavy it imports inside, so that a cached job never pays for it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPTS = sorted((ROOT / "workflow/scripts").glob("[!w]*/*.py")) + sorted(
    (ROOT / "workflow/scripts/wafers").glob("*.py")
)
LIGHT = ("waferbench.config", "waferbench.engine", "waferbench.tracks")


def test_scripts_are_found():
    assert len(SCRIPTS) > 30


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_short_and_starts_light(script):
    text = script.read_text()
    tree = ast.parse(text)
    assert len(text.splitlines()) <= 100
    for node in tree.body:
        if isinstance(node, ast.Import):
            pytest.fail(f"{ast.unparse(node)} stands at the top")
        if isinstance(node, ast.ImportFrom):
            assert node.module.startswith(LIGHT), ast.unparse(node)
    assert ast.unparse(tree.body[-1]).startswith("run("), "it ends in run(function, snakemake, Settings)"
