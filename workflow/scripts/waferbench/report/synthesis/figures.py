"""The figures: gains and saturation drawn by matplotlib, samples as strips of pixels."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from waferbench.images.store import read_images
from waferbench.report.kit import figures as kit
from waferbench.report.kit.figures import INK, MUTED, clean, panels, save, sheet, svg
from waferbench.report.kit.words import known, reach
from waferbench.report.synthesis.study import HEADS, REFERENCE, Study
from waferbench.wafers.folds import wafers_of
from waferbench.wafers.pictures import palette_image
from waferbench.wafers.render import render

SAMPLE_BYTES = 1_800_000  # of all strips together, so that the page stays below 5 MB


def colours(study: Study) -> dict[str, str]:
    """Condition -> its colour in every figure."""
    return kit.colours(study.conditions)


def source_colours(study: Study) -> dict[str, str]:
    """Source -> the colour of the first condition that adds its samples."""
    palette = colours(study)
    return {study.source_of(c): palette[c] for c in reversed(study.conditions) if study.source_of(c)}


def gain_limits(study: Study) -> tuple[float, float]:
    """The common axis of the gain figures, in points."""
    t = study.comparisons[study.comparisons["head"] == study.head]
    return limits_of(t)


def limits_of(differences: pd.DataFrame) -> tuple[float, float]:
    """An axis in points that holds zero and all differences (difference, low, high, fractions) with their intervals."""
    columns = [name for name in ("difference", "low", "high", "wafer_low", "wafer_high") if name in differences]
    values = 100 * differences[columns].astype(float).to_numpy()
    values = values[np.isfinite(values)]
    low, high = (min(0.0, values.min()), max(0.0, values.max())) if len(values) else (-1.0, 1.0)
    margin = 0.08 * max(high - low, 0.5)
    return low - margin, high + margin


def _draw_gains(axes, study: Study, backbone: str, limits: tuple[float, float]) -> None:
    """One backbone: a row a condition; filled against the baseline, hollow against the `hollow` reference."""
    palette = colours(study)
    rows = [c for c in study.conditions if any(study.gain(backbone, c, r) is not None for r in _references(study))]
    axes.axvline(0, color=MUTED, lw=1)
    for y, condition in enumerate(rows):
        for reference, shift in _references(study).items():
            row = study.gain(backbone, condition, reference)
            if row is None or not known(row["difference"]):
                continue
            offset = 0.0 if condition in _references(study) else shift  # the only mark of its row
            draw_difference(axes, y + offset, row, palette[condition], filled=reference == study.baseline)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(max(1, len(rows)) - 0.5, -0.5)
    axes.set_xlim(*limits)
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5))
    clean(axes)


def draw_difference(axes, y: float, row, colour: str, filled: bool = True) -> None:
    """A difference in points: a dot on its interval over folds or, dashed, on that over test wafers alone."""
    if reach(row["low"], row["high"], "points"):
        axes.plot([100 * row["low"], 100 * row["high"]], [y, y], color=colour, lw=2, alpha=0.75)
    elif known(row["wafer_low"]):
        ends = [100 * row["wafer_low"], 100 * row["wafer_high"]]
        axes.plot(ends, [y, y], color=colour, lw=1.2, ls=(0, (2, 2)), alpha=0.75)
    face = colour if filled else "none"
    axes.plot([100 * row["difference"]], [y], "o", ms=6.5, mec=colour, mew=1.6, mfc=face, zorder=3)


def hollow(study: Study) -> str:
    """The second reference of the gain figures: repeated real wafers, the fair one, or else `real`; "" for neither."""
    return next((c for c in (study.repeated, REFERENCE) if c in study.conditions and c != study.baseline), "")


def _references(study: Study) -> dict[str, float]:
    """Reference -> how far its marks stand off the row's middle."""
    second = hollow(study)
    return {study.baseline: -0.14, second: 0.14} if second else {study.baseline: 0.0}


def gain_panels(study: Study) -> dict[str, str]:
    """Backbone -> inline SVG of its gains; all share one axis."""
    limits, drawn = gain_limits(study), {}
    for backbone in study.backbones if len(study.comparisons) else []:
        with sheet(4.3, 0.75 + 0.36 * len(study.conditions)) as figure:
            _draw_gains(axes := figure.subplots(), study, backbone, limits)
            axes.set_xlabel("points of macro-F1", color=MUTED)
            name = study.short(backbone)
            drawn[name] = svg(figure, f"Gain in macro-F1 of each condition with {name}")
    return drawn


def gain_figure(study: Study, path: str | Path) -> None:
    """All panels as one PNG or SVG, for Snakemake's report."""
    count = max(1, len(study.backbones))
    columns = min(4, count)
    lines = -(-count // columns)
    size = (4.2 * columns, (1.0 + 0.38 * len(study.conditions)) * lines + 0.8)
    with sheet(*size, **{"svg.fonttype": "path"}) as figure:
        for axes, backbone in zip(panels(figure, count, columns), study.backbones, strict=False):
            _draw_gains(axes, study, backbone, gain_limits(study))
            axes.set_title(study.short(backbone), color=INK, fontsize=10, loc="left")
            axes.set_xlabel("points of macro-F1", color=MUTED)
        what = f"filled: against {study.baseline}"
        what += f", hollow: against {hollow(study)}" if hollow(study) else ""
        mark = "; leaky protocol" if study.leaky else ""
        figure.suptitle(f"Which data makes which backbone better? ({what}{mark})", color=INK)
        save(figure, path)


def sample_rows(study: Study, label: str, examples: int) -> list[tuple[str, str, np.ndarray, int]]:
    """Rows of one class: (title, kind, images uint8 (n, S, S), how many there are).

    kind: real (training wafers), oracle (the further real wafers that one could add), kept, rejected.
    """
    rows = []
    if study.store is not None:
        wafers = wafers_of(study.selected, study.folds, study.sample_scope)
        mine = wafers.loc[wafers["label"] == label, "row"].to_numpy(int)
        images = render(study.store.take(_spread(mine, examples)), study.settings.render)
        rows.append(("real", "real", images, len(mine)))
    for source in study.sources:
        path = study.samples.get((source, label))
        if path is None:
            continue
        images = read_images(path).images
        kept, rejected = _verdicts(study, source, label, len(images))
        kind = "oracle" if source in study.oracles else "kept"
        rows.append((source, kind, images[_spread(kept, examples)], len(kept)))
        if len(rejected):
            rows.append((source, "rejected", images[_spread(rejected, examples)], len(rejected)))
    return rows


def _verdicts(study: Study, source: str, label: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of kept samples, and of those that fail the shape filter."""
    t = study.shape_filter
    t = t[(t["source"] == source) & (t["label"] == label) & (t["fold"] == study.sample_scope.column)] if len(t) else t
    if not len(t):
        return np.arange(count), np.arange(0)
    index, kept = t["index"].to_numpy(int), t["kept"].to_numpy(bool)
    return np.sort(index[kept & (index < count)]), np.sort(index[~kept & (index < count)])


def _spread(values: np.ndarray, count: int) -> np.ndarray:
    """At most so many of the values, evenly spread: no choice of the prettiest."""
    if len(values) <= count:
        return values
    return values[np.linspace(0, len(values) - 1, count).round().astype(int)]


def examples_that_fit(study: Study) -> int:
    """Images a row, fewer than asked where classes and sources are so many that the page would grow too large."""
    strips = len(study.names) * (1 + 2 * len(study.sources))
    most = SAMPLE_BYTES // max(1, int(strips * study.settings.render.size**2 * 0.8))
    return max(1, min(study.settings.report.examples, most))


def samples_figure(study: Study, path: str | Path) -> None:
    """One image a class (columns) of real wafers, kept and rejected samples (rows), for Snakemake's report."""
    columns = {label: sample_rows(study, label, 1) for label in study.names}
    titles = list(dict.fromkeys((title, kind) for rows in columns.values() for title, kind, _, _ in rows))
    levels = study.settings.render.levels
    with sheet(1.15 * len(columns) + 1.4, 1.2 * max(1, len(titles)) + 0.9) as figure:
        grid = figure.subplots(max(1, len(titles)), len(columns), squeeze=False)
        for axes in grid.ravel():
            axes.axis("off")
        for j, (label, rows) in enumerate(columns.items()):
            grid[0, j].set_title(study.names[label], fontsize=9, color=INK)
            for title, kind, images, _ in rows:
                if len(images):
                    pixels = np.asarray(palette_image(images[0], levels).convert("RGBA"))
                    grid[titles.index((title, kind)), j].imshow(pixels, interpolation="nearest")
        for i, (title, kind) in enumerate(titles):
            text = title if title == kind else f"{title}\n{kind}"
            grid[i, 0].text(-0.15, 0.5, text, ha="right", va="center", transform=grid[i, 0].transAxes, color=INK)
        figure.suptitle("Do synthetic wafers look like real ones?", color=INK)
        save(figure, path)


def legend(study: Study) -> list[tuple[str, str]]:
    """(condition, colour) of all figures."""
    return list(colours(study).items())


def head_name(study: Study) -> str:
    """The head in plain words."""
    return HEADS.get(study.head, study.head)


def wins(study: Study) -> pd.DataFrame:
    """Per condition: backbones above the baseline, and those whose interval lies above zero."""
    t = study.comparisons
    t = t[(t["head"] == study.head) & (t["against"] == study.baseline)]
    rows = [
        {
            "condition": c,
            "above": int((part["difference"].astype(float) > 0).sum()),
            "clear": int((part["low"].astype(float) > 0).sum()),
            "backbones": len(part),
        }
        for c in study.conditions
        if len(part := t[t["condition"] == c])
    ]
    return pd.DataFrame(rows, columns=["condition", "above", "clear", "backbones"])
