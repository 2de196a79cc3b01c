"""Makes the report of a study: one HTML page, and the table and figures for Snakemake's own report."""

from waferbench.base.files import atomic
from waferbench.engine.job import Job
from waferbench.report.synthesis import read_study, render_page
from waferbench.report.synthesis.figures import gain_figure, samples_figure
from waferbench.report.synthesis.tables import table1_frame

with Job(snakemake, shared=False) as job:
    study = read_study(dict(snakemake.input.items()), job.settings, job.study)
    render_page(study, snakemake.input.template, snakemake.output.report)
    with atomic(snakemake.output.table1) as temporary:
        table1_frame(study).to_csv(temporary, index=False)
    gain_figure(study.main, snakemake.output.gain)
    samples_figure(study.main, snakemake.output.samples_grid)
