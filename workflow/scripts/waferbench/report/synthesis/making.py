"""How the samples came about: losses, the diffusion base alone, the shape filter's limit, copies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from waferbench.config.synthesis.sources import DieFlow, DieLora, Gan, Lora, Oracle
from waferbench.images.store import read_images
from waferbench.report.kit.figures import INK, LINE, MUTED, SERIES, panels, sheet, svg
from waferbench.report.kit.tables import Cell, Table, name
from waferbench.report.synthesis.study import Study
from waferbench.wafers.pictures import strip
from waferbench.wafers.render import render, snap_greys
from waferbench.wafers.store import read_store
from waferbench.wafers.symmetries import turned_to

POINTS = 120  # of a curve: longer trainings are averaged to that many


def curves(source: str, file: str, history: pd.DataFrame) -> dict[str, dict[str, np.ndarray]]:
    """Panels of one history: title -> name of a line -> loss of each step."""
    if file == "base_history":
        return {f"{source}: frozen base": {"": history["loss"].to_numpy()}}
    if file == "adapters_history":
        return {f"{source}: adapters": _by_label(history, "loss")}
    if "loss_d" in history:
        pooled, own = history[history["stage"] == "stage1"], history[history["stage"] == "stage2"]
        sides = {"real": pooled["d_real"].to_numpy(), "drawn": pooled["d_fake"].to_numpy()}
        panels = {f"{source}: discriminator’s score, stage 1": sides}
        return panels | ({f"{source}: discriminator’s loss, stage 2": _by_label(own, "loss_d")} if len(own) else {})
    return {f"{source}: hidden dies, nats a die": {"": history["loss"].to_numpy()}}


def _by_label(history: pd.DataFrame, column: str) -> dict[str, np.ndarray]:
    return {label: part[column].to_numpy() for label, part in history.groupby("label", sort=False)}


def training_curves(study: Study) -> str | None:
    """Inline SVG of every generator's losses in the fold whose samples are shown; None without a history."""
    shown: dict[str, dict[str, np.ndarray]] = {}
    for (source, file), history in study.histories.items():
        shown |= curves(source, file, history)
    if not shown:
        return None
    columns = min(3, len(shown))
    lines = -(-len(shown) // columns)
    with sheet(3.4 * columns, 2.1 * lines) as figure:
        grid = panels(figure, len(shown), columns)
        for axes, (title, series) in zip(grid, shown.items(), strict=True):
            _draw(axes, study, title, series)
        most = max(grid, key=lambda axes: len(axes.lines))
        if len(most.lines) > 2:  # a line a class, in one order in every panel
            figure.legend(
                *most.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=8
            )
        return svg(figure, "Losses of the generators over their training")


def _draw(axes, study: Study, title: str, series: Mapping[str, np.ndarray]) -> None:
    for k, (line, values) in enumerate(series.items()):
        steps, means = binned(values)
        axes.plot(steps, means, color=SERIES[(k + 1) % len(SERIES)], lw=1.3, label=study.names.get(line, line))
    axes.set_title(title, color=INK, fontsize=9, loc="left")
    axes.set_facecolor("none")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(LINE)
    axes.tick_params(colors=MUTED, length=0, labelsize=8)
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(3, integer=True))
    axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4))
    if len(series) == 2:
        axes.legend(frameon=False, labelcolor=INK, fontsize=8)


def binned(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Last step and mean of each of at most `POINTS` stretches of a curve."""
    parts = np.array_split(np.asarray(values, float), min(POINTS, len(values)))
    return np.cumsum([len(part) for part in parts]), np.array([part.mean() for part in parts])


def priors(study: Study) -> list[dict]:
    """Strips {title, image} of what each base draws without an adapter."""
    count, levels = study.settings.report.examples, study.settings.render.levels
    images = {source: _prior(study, source, path)[:count] for source, path in study.priors.items()}
    return [{"title": source, "image": strip(some, levels, count)} for source, some in images.items()]


def _prior(study: Study, source: str, path: Path) -> np.ndarray:
    """What a base draws, uint8 (N, S, S): a die LoRA's base keeps maps, as the size of images is none of its matter."""
    if isinstance(study.settings.define.sources.get(source), DieLora):
        return render(list(read_store(path)), study.settings.render)
    return read_images(path).images


VARIANTS = {
    "standard": "the study’s own simulator",
    "elsewhere": (
        "the study’s simulator with other parameters: larger and weaker patterns, in ranges that overlap the study’s, "
        "and other die grids"
    ),
}


def bases(study: Study) -> list[str]:
    """What each frozen base has seen, a sentence each."""
    told = []
    for source in study.generators:
        entry, seen = study.settings.define.sources.get(source), study.bases.get(source)
        if seen:
            variant = str(seen["variant"])
            simulator = VARIANTS.get(variant, variant) if study.simulated else "the simulator"
            text = f"{source}: {seen['simulated_wafers']:,} simulated wafers, without their classes, of {simulator}"
            text += "; no wafer of this study"
            if not study.simulated:
                text += f". But the simulator was tuned on {seen['simulator_tuned_on']}"
            told.append(f"{text}.")
        elif isinstance(entry, Lora) and entry.base != "native":
            told.append(f"{source}: the ready base {entry.base}; what it has seen is not known here.")
    return told


def drawing(study: Study) -> Table | None:
    """How each source's samples were drawn: what its generator learned from, adapters, steps, guidance."""
    rows = []
    for source in study.generators:
        entry = study.settings.define.sources.get(source)
        if entry is not None:
            rows.append([name(source, entry.kind), *map(Cell, _drawing(entry))])
    head = ["Source", "Learns from", "Adapters", "Sampler steps", "Guidance"]
    return Table(head, rows) if rows else None


def _drawing(entry: Gan | Lora | DieLora | DieFlow | Oracle) -> tuple[str, str, str, str]:
    of_fold = "training wafers"
    if isinstance(entry, Gan):
        return of_fold, "–", "1", "–"
    if isinstance(entry, DieFlow):
        return of_fold, "–", f"{entry.sampler_steps}", _guidance(entry.guidance, "the wafer without a label", entry)
    if isinstance(entry, DieLora):
        adapters = f"rank {entry.rank}, alpha {entry.alpha:g}, {entry.steps} steps a class"
        learned = f"at most {entry.max_wafers} training wafers a class"
        return learned, adapters, f"{entry.sampler_steps}", _guidance(entry.guidance, "the frozen base", entry)
    if isinstance(entry, Lora):
        adapters = f"rank {entry.rank}, alpha {entry.alpha:g}, {entry.steps} steps a class"
        against = "the frozen base" if entry.guidance_against == "base" else "the empty prompt"
        return of_fold, adapters, f"{entry.sampler_steps}", _guidance(entry.guidance, against, entry)
    return "–", "–", "–", "–"


def _guidance(strength: float, against: str, entry: DieFlow | DieLora | Lora) -> str:
    none = strength <= 1 if isinstance(entry, Lora) else strength == 1
    if none:
        return "none"
    text = f"{strength:g} against {against}"
    ramp = getattr(entry, "guidance_ramp", "none")
    if ramp != "none":
        text += f", {ramp}"
    low, high = getattr(entry, "guidance_interval", (0.0, 1.0))
    return text if (low, high) == (0.0, 1.0) else f"{text}, noise {low:g} to {high:g} of the schedule"


def borderline(study: Study) -> list[dict]:
    """Strips of the samples that pass the shape filter by least, and of those that fail it by least.

    Each is {title, image}; of all classes in the fold whose samples are shown, and of the sources that the filter is
    applied to, or of all where it is applied to none.
    """
    applied = study.settings.shape_filter.apply_to
    t = study.shape_filter.dropna(subset=["margin"])
    t = t[(t["fold"] == study.sample_scope.column) & (t["source"].isin(applied) if applied else True)]
    count, levels, strips = study.settings.report.examples, study.settings.render.levels, []
    t = t.assign(margin=t["margin"].astype(float), passes=t["passes"].astype(bool))
    for title, passes in (("just accepted", True), ("just rejected", False)):
        nearest = t[t["passes"] == passes].sort_values("margin", ascending=not passes, kind="stable").head(count)
        images = _samples(study, nearest)
        if len(images):
            strips.append({"title": title, "image": strip(images, levels, count)})
    return strips


def _samples(study: Study, rows: pd.DataFrame) -> np.ndarray:
    """The images of a table's samples (source, label, index), uint8 (N, S, S); none where a pool of them is missing."""
    wanted = list(zip(rows["source"], rows["label"], strict=True))
    if not set(wanted) <= set(study.samples):
        return np.zeros((0, 1, 1), np.uint8)
    pools = {key: read_images(study.samples[key]).images for key in set(wanted)}
    images = [pools[key][index] for key, index in zip(wanted, rows["index"], strict=True)]
    return np.stack(images) if images else np.zeros((0, 1, 1), np.uint8)


def closest_pairs(study: Study) -> dict[str, list[dict]]:
    """Source -> its samples with the smallest Hamming distance to a training wafer, and that wafer turned to it.

    Each is {title, image, note}: a strip of samples, and under it a strip of wafers in the same order.
    """
    if study.store is None or not len(study.closest):
        return {}
    count, drawing = study.settings.report.examples, study.settings.render
    levels, found = drawing.levels, {}
    for source, mine in study.closest.groupby("source", sort=False):
        nearest = mine.sort_values("hamming", kind="stable").head(count)
        images = _samples(study, nearest)
        if not len(images):
            continue
        drawn = snap_greys(images, levels)
        real = snap_greys(render(study.store.take(nearest["row"]), drawing), levels)
        twins = np.stack([turned_to(sample, wafer) for sample, wafer in zip(drawn, real, strict=True)])
        note = f"{nearest['hamming'].min():.1%} to {nearest['hamming'].max():.1%} of pixels differ"
        found[str(source)] = [
            {"title": "samples", "image": strip(drawn, levels, count), "note": note},
            {"title": "nearest wafers", "image": strip(twins, levels, count), "note": ""},
        ]
    return found
