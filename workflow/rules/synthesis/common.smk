# What the rules of the generators share.

import re

from waferbench.config.grid import FILTER
from waferbench.config.synthesis import stages


def of_kind(kind):
    """A wildcard constraint: the sources of one kind."""
    return "|".join(map(re.escape, GRID.of_kind(kind))) or "(?!)"


def verdict_of(wildcards):
    """The shape filter that says when enough samples of a source are accepted, where it applies."""
    if not GRID.filtered(wildcards.source):
        return {}
    return {name: f"{GRID.shape}/{file}" for name, file in FILTER.items()}
