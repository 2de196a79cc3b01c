"""Makes the report of a study: one HTML page, and the table and figures for Snakemake's own report."""

from waferbench.config.synthesis.stages import MakeReport
from waferbench.engine.job import Job, run


def make_report(job: Job[MakeReport]) -> None:
    from waferbench.base.files import atomic
    from waferbench.base.places import RESOURCES
    from waferbench.report.synthesis import read_study, render_page
    from waferbench.report.synthesis.figures import gain_figure, samples_figure
    from waferbench.report.synthesis.tables import table1_frame

    files = {**job.files, "published": RESOURCES / "published.yaml"}
    study = read_study(files, job.settings, job.study)
    render_page(study, job.output.report)
    with atomic(job.output.table1) as temporary:
        table1_frame(study).to_csv(temporary, index=False)
    gain_figure(study.main, job.output.gain)
    samples_figure(study.main, job.output.samples_grid)


run(make_report, snakemake, MakeReport, kept=False)
