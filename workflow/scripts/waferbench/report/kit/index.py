"""The page that links the pages of a study's tracks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from waferbench.report.kit.page import KIT, fill

COMMAND = "snakemake {target} --cores 8 --resources gpu=1"


class Linked(Protocol):
    """What of a track its link is made from."""

    @property
    def name(self) -> str: ...

    @property
    def question(self) -> str: ...

    @property
    def page(self) -> str:
        """Its page, from the study's folder."""

    @property
    def target(self) -> str:
        """The rule that makes it."""


def write_index(folder: str | Path, tracks: Iterable[Linked]) -> None:
    """Write ``index.html`` into a study's folder: a link to each page that is there, and how the others are made.

    Nothing is written where no page is there. Equal pages and tracks make equal bytes.
    """
    folder = Path(folder)
    told = [
        {
            "name": track.name,
            "question": track.question,
            "address": quote(track.page) if (folder / track.page).is_file() else "",
            "command": COMMAND.format(target=track.target),
        }
        for track in tracks
    ]
    if any(track["address"] for track in told):
        fill(KIT / "index.html.j2", folder / "index.html", {"study": folder.resolve().name, "tracks": told})
