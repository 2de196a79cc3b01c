"""Which wafers an artifact was fitted on, so that a leak can be seen from the artifact alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd

from waferbench.base.artifacts import read_provenance


def fitted_on(wafers: pd.DataFrame) -> dict[str, str | int]:
    """The provenance entries of a fitted artifact.

    Args:
        wafers: the table of the wafers that it was fitted on (column ``wafer_id``), in any order.

    Returns:
        ``fitted_on``, the sha256 of the sorted wafer ids joined by newlines, and ``n_fitted``, their number.
    """
    ids = sorted(str(wafer_id) for wafer_id in wafers["wafer_id"])
    return {"fitted_on": hashlib.sha256("\n".join(ids).encode()).hexdigest(), "n_fitted": len(ids)}


def inherited(artifact: str | Path) -> dict[str, str | int]:
    """The provenance entries that what is drawn from a fitted artifact takes over: its wafers, and its base if any."""
    made_by = read_provenance(artifact)
    return {key: made_by[key] for key in ("fitted_on", "n_fitted", "base") if key in made_by}
