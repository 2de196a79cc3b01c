"""Wafers as pictures: those whose label looks wrong, and those that were misclassified with what the network saw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from waferbench.base.artifacts import read_h5
from waferbench.report.kit.tables import Cell, Table, name, number
from waferbench.report.kit.words import known
from waferbench.report.synthesis.study import Study
from waferbench.wafers.pictures import address, palette_image, shades
from waferbench.wafers.render import render

SUSPECTS = 20
PICTURES = 96  # of wrong calls at most, of all backbones together
THUMB = 96  # pixels of a picture's edge at most: a page of eight backbones stays below 5 MB
HEAT = np.array([[110, 60, 190], [200, 50, 140], [235, 90, 60], [250, 170, 40], [255, 235, 90]], float)  # RGB
QUIET = np.array([[128, 140, 160, 0], [185, 193, 204, 255], [58, 66, 82, 255]], float)  # RGBA of off, pass, fail


def suspects(study: Study) -> list[dict[str, Any]]:
    """The most suspicious labels, worst first: {wafer, given, suggested, p_given, p_suggested, flagged, image}."""
    t = study.label_noise
    if not len(t):
        return []
    t = t.assign(rank=pd.to_numeric(t["rank"])).sort_values("rank", kind="stable").head(SUSPECTS)
    images = _maps(study, t["wafer_id"])
    return [
        {
            "wafer": str(r.wafer_id),
            "given": study.name_of(r.label),
            "suggested": study.name_of(r.suggested),
            "p_given": _percent(r.p_label),
            "p_suggested": _percent(r.p_suggested),
            "flagged": bool(r.is_issue),
            "image": images.get(r.wafer_id, ""),
        }
        for r in t.itertuples()
    ]


def _percent(value: float) -> str:
    return f"{100 * float(value):.0f}%" if known(value) else "–"


def _maps(study: Study, wafer_ids: pd.Series) -> dict[str, str]:
    """Wafer id -> picture; wafers that are not in the store are left out."""
    if study.store is None:
        return {}
    rows = study.selected.drop_duplicates("wafer_id").set_index("wafer_id")["row"]
    found = [wafer for wafer in wafer_ids if wafer in rows.index]
    images = render(study.store.take(rows.loc[found]), study.settings.render)
    return {wafer: _picture(study, image) for wafer, image in zip(found, images, strict=True)}


def _picture(study: Study, grey: np.ndarray) -> str:
    return address(palette_image(grey, study.settings.render.levels))


def label_counts(study: Study) -> Table | None:
    """Per class: wafers looked at, labels that look wrong, and what they look like most often."""
    t = study.label_noise
    if not len(t):
        return None
    t = t.assign(is_issue=t["is_issue"].fillna(False).astype(bool))
    rows = []
    for label in [x for x in study.names if x in set(t["label"])]:
        mine = t[t["label"] == label]
        wrong = mine.loc[mine["is_issue"], "suggested"].value_counts()
        share = len(mine[mine["is_issue"]]) / len(mine)
        often = f"{study.name_of(wrong.index[0])} ({wrong.iloc[0]:,})" if len(wrong) else ""
        flagged = Cell(f"{wrong.sum():,}", int(wrong.sum()), f"{share:.1%}", heat=min(1.0, share))
        rows.append([name(study.name_of(label)), number(len(mine), ",.0f"), flagged, Cell(often)])
    return Table(["Class", "Wafers", "Look wrong", "Mostly look like"], rows, kind="bars")


def label_models(study: Study) -> str:
    """Who doubts the labels: how many networks, trained on what."""
    t = study.label_noise
    if not len(t):
        return ""
    conditions = ", ".join(sorted({str(c) for c in t["condition"].dropna()}))
    count = pd.to_numeric(t["n_models"]).max()
    return f"{count:.0f} network{'s' if count > 1 else ''} trained on {conditions}" if known(count) else conditions


def looked_at(study: Study, backbone: str) -> dict[str, Any] | None:
    """What a backbone's explanation file shows: {shown, pictures}; None without one.

    The file holds wrong calls on test wafers of the first fold alone, surest first, or none. Each picture is
    {wafer, true, called, probability, image, overlay}.
    """
    path = study.explanations.get(backbone)
    if path is None:
        return None
    e = read_h5(path, ["images", "maps", "ids", "true", "called", "probability", "classes"])
    levels, classes = study.settings.render.levels, [study.name_of(str(c)) for c in e["classes"]]
    shown = min(len(e["ids"]), max(1, PICTURES // len(study.backbones)))
    pictures = [
        {
            "wafer": str(e["ids"][i]),
            "true": classes[e["true"][i]],
            "called": classes[e["called"][i]],
            "probability": _percent(e["probability"][i]),
            "image": _picture(study, _shrunk(e["images"][i])),
            "overlay": address(overlay(_shrunk(e["images"][i]), _shrunk(e["maps"][i]), levels)),
        }
        for i in range(shown)
    ]
    return {"shown": shown, "pictures": pictures}


def _shrunk(image: np.ndarray) -> np.ndarray:
    if image.shape[0] <= THUMB:
        return image
    return np.asarray(Image.fromarray(image).resize((THUMB, THUMB), Image.Resampling.BILINEAR))


def overlay(grey: np.ndarray, heat: np.ndarray, levels: tuple[int, ...]) -> Image.Image:
    """A wafer's greys under a heat map of the same size, uint8 (S, S) both, 255 hottest; in 64 colours."""
    base = shades(levels, QUIET)[grey]
    stops = np.linspace(0, 255, len(HEAT))
    colour = np.stack([np.interp(heat, stops, HEAT[:, k]) for k in range(3)], axis=-1)
    share = 0.85 * heat[..., None] / 255
    rgb = (1 - share) * base[..., :3] + share * colour
    alpha = (1 - share) * base[..., 3:] + share * 255
    pixels = np.concatenate([rgb, alpha], axis=-1).round().astype(np.uint8)
    return Image.fromarray(pixels, "RGBA").quantize(64, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
