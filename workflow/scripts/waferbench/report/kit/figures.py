"""Figures drawn by matplotlib: inline SVG in the page's own inks, or files in plain ones."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from waferbench.base.files import atomic

# colours that the page replaces by its own, so that figures follow a dark page
INK, MUTED, LINE = "#010203", "#020304", "#030405"
THEME = {INK: "var(--ink)", MUTED: "var(--muted)", LINE: "var(--line)"}
PLAIN = {INK: "#1c2430", MUTED: "#667085", LINE: "#d8dde5"}
SERIES = ["#7a8799", "#3b7dd8", "#9a6bd0", "#e08a1e", "#17a07a", "#d6476b", "#5a9bb0", "#a0792f"]
STYLE = {
    "svg.fonttype": "none",  # text stays text: smaller, and in the page's own font
    "svg.hashsalt": "waferbench",
    "text.parse_math": False,  # a class name may hold a dollar sign
    "font.family": "sans-serif",
    "font.size": 9.5,
}


@contextmanager
def sheet(width: float, height: float, **style: object) -> Iterator[Figure]:
    """An empty figure in the report's style; it is drawn and finished inside the ``with``.

    Args:
        width, height: inches, of 72 pixels on the page.
        style: matplotlib settings beside `STYLE`.
    """
    with matplotlib.rc_context({**STYLE, **style}):
        yield Figure(figsize=(width, height), layout="constrained")


def panels(figure: Figure, count: int, columns: int) -> np.ndarray:
    """So many axes, a row after ``columns`` of them; those of the last row that are too many are not seen."""
    lines = -(-count // columns)
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in grid[count:]:
        axes.set_visible(False)
    return grid[:count]


def colours(names: Iterable[str]) -> dict[str, str]:
    """Name -> its colour, in every figure of a page and in its legends."""
    return {name: SERIES[i % len(SERIES)] for i, name in enumerate(names)}


def clean(axes) -> None:
    """Axes of the report: no frame, light lines, the page's inks."""
    axes.set_facecolor("none")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.tick_params(colors=MUTED, length=0, pad=5)
    for label in axes.get_yticklabels():
        label.set_color(INK)
    axes.grid(axis="x", color=LINE, lw=0.8)
    axes.set_axisbelow(True)


def log_axis(axes) -> None:
    """A logarithmic x axis labelled at 1, 2, 5, 10, ..."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())


def svg(figure: Figure, label: str) -> Markup:
    """Inline SVG that takes its inks from the page; matplotlib has escaped its texts.

    Args:
        label: what the figure shows, for those who cannot see it.
    """
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(
        buffer,
        metadata={"Date": None, "Creator": None, "Title": label},
    )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # --w: the width at which letters are as drawn; the page scales it
    text = re.sub(r'width="([\d.]+)pt" height="[\d.]+pt"', r'role="img" style="--w: \1px"', text, count=1)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    # background patches are opaque white by default
    text = re.sub(r'(<g id="patch_1">\s*<path d="[^"]*"\s*style="fill: )#ffffff', r"\1none", text, count=1)
    for colour, variable in THEME.items():
        text = text.replace(colour, variable)
    return Markup(re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text))


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure with the plain inks; no dates, so that equal figures are equal bytes."""
    for artist in figure.findobj():
        for kind in ("color", "edgecolor", "facecolor"):
            _recolour(artist, kind)
    figure.set_facecolor("white")
    with atomic(path) as temporary:
        if Path(path).suffix == ".svg":
            FigureCanvasSVG(figure).print_svg(temporary, metadata={"Date": None})
        else:
            FigureCanvasAgg(figure).print_png(temporary, metadata={"Software": None})


def _recolour(artist, kind: str) -> None:
    getter, setter = getattr(artist, f"get_{kind}", None), getattr(artist, f"set_{kind}", None)
    if getter is None or setter is None:
        return
    try:
        colour = matplotlib.colors.to_hex(getter())
    except (TypeError, ValueError):  # several colours, or none
        return
    if colour in PLAIN:
        setter(PLAIN[colour])
