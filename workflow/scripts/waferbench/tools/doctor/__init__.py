"""What may keep a study from running, or from being right: each thing looked at, what was found, what to do about it.

Runs where torch is broken: nothing here imports more than reading the settings takes before it is needed.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

OK, WARNING, PROBLEM = "ok", "warning", "problem"
WIDTH = 80
INDENT = 20


@dataclass(frozen=True)
class Finding:
    """One thing looked at. level: ok, warning (a study may run) or problem (it will not). advice: empty where ok."""

    level: str
    topic: str
    found: str
    advice: str = ""


Check = Callable[[], Iterable[Finding]]


def examine(checks: Iterable[tuple[str, Check]]) -> list[Finding]:
    """The findings of all checks with their topics, in order; one that fails itself is a warning that says how."""
    findings: list[Finding] = []
    for topic, check in checks:
        try:
            findings += check()
        except Exception as error:  # what is broken may break any of them in any way
            said = f"could not be looked at: {type(error).__name__}: {error}"
            findings.append(Finding(WARNING, topic, said, "mend what the other lines name, then look again"))
    return findings


def table(findings: Sequence[Finding]) -> str:
    """The findings as text of at most 80 columns, and a last line that counts them."""
    lines = []
    for finding in findings:
        lines += _wrapped(f"{finding.level:9}{finding.topic:{INDENT - 9}}", finding.found)
        lines += _wrapped(" " * INDENT + "-> ", finding.advice) if finding.advice else []
    counts = {level: sum(finding.level == level for finding in findings) for level in (PROBLEM, WARNING)}
    told = ", ".join(f"{n} {level}{'s' if n > 1 else ''}" for level, n in counts.items() if n)
    return "\n".join([*lines, "", told or "all is well"]) + "\n"


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head)) or [head]
