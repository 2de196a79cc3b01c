"""Class names as file names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from waferbench.base.errors import InputError


def slug(name: str) -> str:
    """A class name as a file name: ``Edge-Ring`` -> ``edge-ring``. Only a-z, 0-9 and inner hyphens."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "class-" + name.encode().hex()[:12]


def slugs(names: Sequence[str]) -> dict[str, str]:
    """Class name -> slug; two names with one slug are an `InputError`."""
    result = {name: slug(name) for name in names}
    for label in result.values():
        twins = [other for other in result if result[other] == label]
        if len(twins) > 1:
            raise InputError(f"dataset.classes: {twins[0]!r} and {twins[1]!r} both become {label!r}; rename one")
    return result


def labels_of(names: Sequence[str]) -> list[str]:
    """The labels (slugs) of some class names, in their order."""
    return list(slugs(names).values())


def labels_by_protocol(classes: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Protocol -> class names to protocol -> their labels, in the same order."""
    return {protocol: labels_of(names) for protocol, names in classes.items()}
