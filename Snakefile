# waferbench: questions about wafer maps, each answered by one target; what answers one is a track.
#
#   snakemake --cores 8 --resources gpu=1                                            the synthesis study
#   snakemake --cores 8 --resources gpu=1 --configfile config/wm811k.yaml            the same on real wafers
#   snakemake everything --cores 8 --resources gpu=1                                 every track


import os

from snakemake.utils import min_version

min_version("9.20")


# Of the folder where Snakemake runs, which is this one or any other. Each key has a default: it may hold few, or not be.
if os.path.exists("config/config.yaml"):

    configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/library.smk"  # where the library is
include: "workflow/rules/common.smk"  # settings, paths, digests
include: "workflow/rules/resources.smk"  # what jobs claim: GPUs, threads, memory, minutes
include: "workflow/rules/data.smk"  # ingest, select, folds, audit
# The synthesis study: which synthetic wafers make a classifier better?
include: "workflow/rules/synthesis/common.smk"  # what its generators share
include: "workflow/rules/synthesis/networks.smk"  # names and weights, checked first
include: "workflow/rules/synthesis/gan.smk"  # TS-HingeGAN: train, sample
include: "workflow/rules/synthesis/diffusion.smk"  # native base, LoRA adapters, sample
include: "workflow/rules/synthesis/die_lora.smk"  # frozen base, adapters, sample
include: "workflow/rules/synthesis/die_flow.smk"  # die flow: train, sample
include: "workflow/rules/synthesis/oracle.smk"  # no synthesizer: further real wafers
include: "workflow/rules/synthesis/shape.smk"  # circular-shape filter: fit, apply
include: "workflow/rules/synthesis/quality.smk"  # distances, memorisation, class agreement
include: "workflow/rules/synthesis/classify.smk"  # injection, backbones, ECOC-SVM
include: "workflow/rules/synthesis/statistics.smk"  # scores, comparisons, what else the grid says
include: "workflow/rules/synthesis/report.smk"  # the answer on one page
include: "workflow/rules/synthesis/predict.smk"  # one's own wafers, ONNX


rule all:
    default_target: True
    input:
        f"{STUDY}/networks.json",
        f"{STUDY}/budget.parquet",
        f"{STUDY}/report.html",
        f"{STUDY}/scores.parquet",
        f"{STUDY}/audit.parquet",


# What looks at a study, whatever its tracks.
include: "workflow/rules/store.smk"  # earlier results, cleared by hand
include: "workflow/rules/provenance.smk"  # the study as an RO-Crate
include: "workflow/rules/doctor.smk"  # what may keep the study from running
include: "workflow/rules/everything.smk"  # all tracks, and the page that links theirs
