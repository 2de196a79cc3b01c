"""Parameters of rules as the texts that Snakemake compares: equal settings, equal parameter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import product

from waferbench.config.section import Section


def slice_text(section: Section) -> str:
    """One canonical JSON text of a section.

    In texts `{` and `<` are written as JSON escapes: Snakemake takes `{fold}` in a class name for a wildcard, and puts
    parameters into its report as they are, where `</script>` would end the script.
    """
    text = json.dumps(section.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    text = re.sub(r'\{(?=[^"}])', r"\\u007b", text)  # braces of JSON itself stand before a quote or a brace
    return text.replace("<", r"\u003c")


def parts_text(**lists: Iterable[str]) -> str:
    """The wildcards of the parts that one job does one after the other; the last list varies fastest.

    >>> parts_text(backbone=["a"], condition=["x", "y"])
    '[{"backbone": "a", "condition": "x"}, {"backbone": "a", "condition": "y"}]'
    """
    return json.dumps([dict(zip(lists, values, strict=True)) for values in product(*lists.values())])
