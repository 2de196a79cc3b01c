"""The columns of every table of a study, declared once: whoever writes, gathers or reads one imports them from here."""

from __future__ import annotations

from collections.abc import Sequence

RUN = ("protocol", "seed", "replicate")  # one run of all that is random; replicate: of simulated data, 0 where unused
GRID_CELL = (*RUN, "fold", "backbone", "condition")  # one trained classifier
CELL = (*GRID_CELL, "head")  # and one of its heads
SAMPLES = (*RUN, "fold", "source")  # a source's samples of one scope; fold -1: of generators that saw all wafers
COUNTS = ("n_train_real", "n_train_synthetic", "n_train_repeated", "n_added", "steps")
WAFERS = (
    *("wafer_id", "row", "lot", "class", "label", "rows", "columns", "dies", "failing_dies", "sha256", "canonical"),
    "drawn_for",  # of wafers simulated under replicates: train0, val0, test0, train1, ...; "" elsewhere
)
INJECTION = ("source", "label", "index", "wafer_id", "split")
MEASURES = ("label", "stage", "reference", "metric", "value", "low", "high", "n", "n_real")
BOOK = "y_book_"  # of columns beside them: what each of several code books of an ECOC-SVM would call
PREDICTIONS = (*RUN, "wafer_id", "fold", "backbone", "condition", "head", "y_true", "y_pred")

TABLES: dict[str, tuple[str, ...]] = {  # of a finished study, by the name of their file
    "folds": (*RUN, "wafer_id", "fold", "split"),
    "audit": (*RUN, "check", "class", "label", "fold", "split", "value", "detail"),
    "shape_filter": (
        *(*SAMPLES, "label", "index", "iou", "off_disc", "radius", "offset", "cnn", "passes", "margin", "reason"),
        *("passes_cnn", "passes_geometric", "kept", "in_pool"),
    ),
    "quality": (*SAMPLES, *MEASURES, "network"),
    "budget": (*SAMPLES, "label", "real", "wanted", "available"),
    "agreement": (*SAMPLES, "label", "index", "in_pool", "y_judge", "p_intended"),
    "reconstruction": (*SAMPLES, "label", "n", "agreement_original", "agreement", "error"),
    "texture": (
        *(*RUN, "fold", "condition", "source", "n_added", "auc", "bits", "accuracy_by_origin", "accuracy_majority"),
    ),
    "predictions": PREDICTIONS,
    "scores": (*CELL, "macro_f1", "accuracy", *COUNTS, "n_test", "code_spread"),
    "per_class": (*CELL, "label", "precision", "recall", "f1", "support"),
    "comparisons": (
        *("protocol", "backbone", "head", "condition", "reference", "metric", "mean", "mean_reference"),
        *("mean_difference", "std_difference", "n_folds", "n_seeds", "t", "df", "p_value", "p_holm"),
        *("ci_low", "ci_high", "effect", "effect_low", "effect_high", "power_effect", "confidence"),
    ),
    "intervals": (
        *("protocol", "head", "backbone", "condition", "reference", "value", "low", "high", "n_wafers", "n_folds"),
        *("pooled", "pooled_low", "pooled_high", "accuracy", "accuracy_low", "accuracy_high", "confidence"),
    ),
    "heads": ("protocol", "backbone", "condition", "difference", "low", "high", "p_value", "n_folds", "confidence"),
    "ranks": (
        *("protocol", "head", "condition", "mean_rank", "n_backbones", "statistic", "p_value"),
        *("critical_difference", "n_blocks", "verdict"),
    ),
    "rank_pairs": ("protocol", "head", "condition", "reference", "p_value"),
    "ceiling": (
        *("protocol", "head", "backbone", "condition", "gain", "gain_low", "gain_high"),
        *("ceiling", "ceiling_low", "ceiling_high", "share", "low", "high", "verdict"),
        *("reference", "over_reference", "over_low", "over_high", "over_power_effect", "n_folds", "confidence"),
    ),
    "mixed_model": (
        *("protocol", "head", "condition", "reference", "effect", "low", "high", "p_value", "std_backbone"),
        *("std_fold", "std_rest", "n_backbones", "n_folds", "verdict"),
    ),
    "findings": ("finding", "subject", "value", "low", "high", "n", "text"),
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
        *("average_precision", "ap_low", "ap_high", "ap_gain", "ap_gain_low", "ap_gain_high"),
    ),
    "label_noise": (
        *("protocol", "wafer_id", "label", "suggested", "quality", "p_label", "p_suggested", "is_issue", "rank"),
        *("condition", "n_models"),
    ),
}
ALL = "all"  # in a column of labels: all classes together
KID = "kid_x1000"  # metric: the kernel distance times 1,000, in tables and wherever it is shown
CLOSEST = ("source", "label", "index", "row", "hamming")  # each sample's nearest training wafer


def probability(label: str) -> str:
    """The column of a class's probability, by the class's slug."""
    return f"p_{label}"


def probabilities(labels: Sequence[str]) -> list[str]:
    """The columns of the probabilities of these classes, in their order."""
    return [probability(label) for label in labels]
