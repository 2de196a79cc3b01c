"""The report of a study: one self-contained HTML page, and the figures and table that Snakemake's report shows."""

from waferbench.report.synthesis.page import render_page
from waferbench.report.synthesis.reading import read_study
from waferbench.report.synthesis.study import Study

__all__ = ["Study", "read_study", "render_page"]
