"""Class names of another data set, mapped to those that a classifier knows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from waferbench.base.errors import InputError, nearest


@dataclass(frozen=True)
class Mapped:
    """What became of each class name of the data.

    to: name in the data -> class name of the study, "" where the study has no such class.
    told: a sentence for each name that is not taken as it stands: folded, renamed, left out.
    """

    to: dict[str, str]
    told: list[str]


def folded(name: str) -> str:
    """A name without case, blanks, hyphens and underscores.

    >>> folded("Edge-Ring") == folded("edge ring") == folded("EDGE_RING")
    True
    """
    return re.sub(r"[\s_-]+", "", name).casefold()


def map_classes(found: Sequence[str], known: Sequence[str], rename: Mapping[str, str], where: str) -> Mapped:
    """The class of the study that each class name of the data stands for: by ``rename``, as it stands, or folded.

    Args:
        found: class name of each wafer, "" where it has none.
        known: class names of the study.
        rename: name in the data -> class name of the study, or "" to leave it out.
        where: the file, for the messages.

    Raises:
        InputError: no wafer has a class, no class name is one of the study's, two names of the study fold into one and
            a third of the data means either, or ``rename`` names a class that the study or the data lack.
    """
    counts = Counter(name for name in found if name)
    if not counts:
        raise InputError(
            f"{where}: none of {len(found)} wafers has a class, and scores need them; give a labelled set, or ask for "
            "snakemake predict, which needs none"
        )
    for name, target in rename.items():
        if target and target not in known:
            raise InputError(
                f"evaluate.rename: {name!r} becomes {target!r}, which is no class of the study"
                f"{nearest(target, known)}; there are {', '.join(known)}"
            )
        if name not in counts:
            raise InputError(
                f"evaluate.rename: {name!r} is no class of {where}{nearest(name, counts)}; "
                f"there are {', '.join(counts)}"
            )
    by_fold: dict[str, list[str]] = {}
    for name in known:
        by_fold.setdefault(folded(name), []).append(name)
    to, told = {}, []
    for name, count in sorted(counts.items()):
        wafers = f"{count} wafer{'s' if count > 1 else ''}"
        alike = by_fold.get(folded(name), [])
        if name in rename:
            to[name] = rename[name]
            told.append(
                f"{name!r} ({wafers}): " + (f"renamed to {rename[name]!r}" if rename[name] else "left out by key")
            )
        elif name in known:
            to[name] = name
        elif len(alike) > 1:
            raise InputError(
                f"{where}: the class {name!r} may be any of {', '.join(alike)}; say which by evaluate.rename"
            )
        elif alike:
            to[name] = alike[0]
            told.append(f"{name!r} ({wafers}): taken for {alike[0]!r}")
        else:
            to[name] = ""
            told.append(f"{name!r} ({wafers}): left out, no class of the study")
    if not any(to.values()):
        raise InputError(
            f"{where}: none of its classes ({', '.join(counts)}) is one of the study's ({', '.join(known)}); say which "
            f"stands for which, for instance --config set='evaluate.rename={{{next(iter(counts))}: {known[0]}}}'"
        )
    return Mapped(to, told)
