"""The synthesis study: which synthetic wafers make a defect classifier better, by how much, and can that be trusted?"""

from __future__ import annotations

from waferbench.base.tables import TABLES
from waferbench.config.synthesis.checks import check_synthesis
from waferbench.config.synthesis.settings import SynthesisSettings
from waferbench.tracks import Track

TRACK = Track(
    name="synthesis",
    target="all",
    question="Which synthetic wafers make my classifier better, by how much, and can I trust it?",
    settings=SynthesisSettings,
    checks=(check_synthesis,),
    page="report.html",
    tables=TABLES,
)
