"""Lines of code a package: those that a statement stands on, without comments, docstrings and blank lines.

``python benchmarks/code_lines.py`` counts this checkout, ``python benchmarks/code_lines.py FOLDER`` another one.
"""

import ast
import sys
import tokenize
from collections import Counter
from io import StringIO
from pathlib import Path

SKIP = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def lines(text: str) -> int:
    """Lines with code on them."""
    said: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        for part in body if isinstance(body, list) else []:
            value = part.value if isinstance(part, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                said.update(range(part.lineno, part.end_lineno + 1))
    tokens = tokenize.generate_tokens(StringIO(text).readline)
    code = {line for token in tokens if token.type not in SKIP for line in range(token.start[0], token.end[0] + 1)}
    return len(code - said)


def main() -> None:
    """A line a package, and the sum."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1])
    library, count = root / "workflow/scripts/waferbench", Counter()
    for file in sorted(library.rglob("*.py")):
        inner = file.relative_to(library).parts
        package = inner[0] if len(inner) > 1 else f"({inner[0]})" if inner[0] == "__init__.py" else inner[0]
        if inner[0] == "config" and file.name in (
            "classification.py",
            "settings.py",
            "sources.py",
            "stages.py",
            "study.py",
        ):
            package = "config: models"
        count[package] += lines(file.read_text())
    for file in sorted((root / "workflow/scripts").rglob("*.py")):
        if library not in file.parents:
            count["scripts"] += lines(file.read_text())
    rules = [root / "Snakefile", *(root / "workflow").rglob("*.smk"), *(root / "workflow/schemas").glob("*.yaml")]
    for file in rules:
        told = (line.strip() for line in file.read_text().splitlines())
        count["rules and schema"] += sum(bool(line) and not line.startswith("#") for line in told)
    for name, number in count.items():
        print(f"{name:28}{number:>7,}")
    rest = sum(number for name, number in count.items() if name != "config: models")
    print(f"{'all but the models':28}{rest:>7,}")


if __name__ == "__main__":
    main()
