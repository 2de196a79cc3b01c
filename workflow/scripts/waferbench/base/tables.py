"""The columns of every table of a study, declared once: whoever writes, gathers or reads one imports them from here."""

from __future__ import annotations

from collections.abc import Sequence

RUN = ("protocol", "seed", "replicate")  # one run of all that is random; replicate: of simulated data, 0 where unused
GRID_CELL = (*RUN, "fold", "backbone", "condition")  # one trained classifier
CELL = (*GRID_CELL, "head")  # and one of its heads
SAMPLES = (*RUN, "fold", "source")  # a source's samples of one scope; fold -1: of generators that saw all wafers
COUNTS = ("n_train_real", "n_train_synthetic", "n_train_repeated")
WAFERS = (
    *("wafer_id", "row", "lot", "class", "label", "rows", "columns", "dies", "failing_dies", "sha256", "canonical"),
)
INJECTION = ("source", "label", "index", "wafer_id", "split")
MEASURES = ("label", "stage", "reference", "metric", "value", "low", "high", "n", "n_real")
PREDICTIONS = (*RUN, "wafer_id", "fold", "backbone", "condition", "head", "y_true", "y_pred")

TABLES: dict[str, tuple[str, ...]] = {  # of a finished study, by the name of their file
    "folds": (*RUN, "wafer_id", "fold", "split"),
    "audit": (*RUN, "check", "class", "label", "fold", "split", "value", "detail"),
    "shape_filter": (
        *(*SAMPLES, "label", "index", "iou", "off_disc", "radius", "offset", "cnn", "passes", "margin", "reason"),
        *("passes_cnn", "passes_geometric", "kept", "in_pool"),
    ),
    "quality": (*SAMPLES, *MEASURES, "network"),
    "agreement": (*SAMPLES, "label", "index", "in_pool", "y_judge", "p_intended"),
    "predictions": PREDICTIONS,
    "scores": (*CELL, "macro_f1", "accuracy", *COUNTS, "n_test"),
    "per_class": (*CELL, "label", "precision", "recall", "f1", "support"),
    "comparisons": (
        *("protocol", "backbone", "head", "condition", "reference", "metric", "mean", "mean_reference"),
        *("mean_difference", "std_difference", "n_folds", "n_seeds", "t", "df", "p_value", "p_holm"),
        *("ci_low", "ci_high", "effect", "effect_low", "effect_high", "confidence"),
    ),
    "intervals": (
        *("protocol", "head", "backbone", "condition", "reference", "value", "low", "high", "n_wafers", "n_folds"),
        "confidence",
    ),
    "heads": ("protocol", "backbone", "condition", "difference", "low", "high", "p_value", "n_folds", "confidence"),
    "ranks": (
        *("protocol", "head", "condition", "mean_rank", "n_backbones", "statistic", "p_value"),
        *("critical_difference", "verdict"),
    ),
    "rank_pairs": ("protocol", "head", "condition", "reference", "p_value"),
    "decomposition": (
        *("protocol", "head", "backbone", "step", "condition", "reference", "difference", "low", "high"),
        *("p_value", "n_folds"),
    ),
    "saturation": (
        *("protocol", "head", "condition", "against", "rho", "p_value", "slope", "slope_low", "slope_high"),
        *("n_backbones", "verdict"),
    ),
    "backbones": ("backbone", "parameters", "macs", "image_size"),
    "calibration": (
        *(*GRID_CELL, "temperature", "ece_before", "ece_after", "nll_before", "nll_after", "n_val", "n_test"),
    ),
    "reliability": (
        *("protocol", "backbone", "condition", "stage", "bin_low", "bin_high", "confidence", "accuracy", "n"),
    ),
    "rare_recall": (
        *("protocol", "backbone", "condition", "label", "precision", "recall", "low", "high", "precision_reached"),
        *("precision_low", "precision_high", "n_positive", "n_cells", "n_reached", "gain", "gain_low", "gain_high"),
    ),
    "label_noise": (
        *("protocol", "wafer_id", "label", "suggested", "quality", "p_label", "p_suggested", "is_issue", "rank"),
        *("condition", "n_models"),
    ),
}
CLOSEST = ("source", "label", "index", "row", "hamming")  # each sample's nearest training wafer


def probability(label: str) -> str:
    """The column of a class's probability, by the class's slug."""
    return f"p_{label}"


def probabilities(labels: Sequence[str]) -> list[str]:
    """The columns of the probabilities of these classes, in their order."""
    return [probability(label) for label in labels]
