# waferbench: which synthetic data makes a wafer-map classifier better, by how much, and can the number be trusted?
#
#   snakemake --cores 8 --resources gpu=1
#   snakemake --cores 8 --resources gpu=1 --configfile config/wm811k-small.yaml


from snakemake.utils import min_version

min_version("9.20")


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"  # settings, paths, digests
include: "workflow/rules/resources.smk"  # what jobs claim: GPUs, threads, memory
include: "workflow/rules/data.smk"  # ingest, select, folds, audit
include: "workflow/rules/networks.smk"  # names and weights, checked first
include: "workflow/rules/synthesis/gan.smk"  # TS-HingeGAN: train, sample
include: "workflow/rules/synthesis/diffusion.smk"  # native base, LoRA adapters, sample
include: "workflow/rules/synthesis/die_flow.smk"  # die flow: train, sample
include: "workflow/rules/synthesis/shape.smk"  # circular-shape filter: fit, apply
include: "workflow/rules/synthesis/quality.smk"  # distances, memorisation, class agreement
include: "workflow/rules/synthesis/classify.smk"  # injection, backbones, ECOC-SVM
include: "workflow/rules/synthesis/statistics.smk"  # scores, comparisons, what else the grid says
include: "workflow/rules/synthesis/report.smk"  # the answer on one page
include: "workflow/rules/synthesis/predict.smk"  # one's own wafers, ONNX
include: "workflow/rules/provenance.smk"  # the study as an RO-Crate
include: "workflow/rules/doctor.smk"  # what may keep the study from running


onstart:
    if workflow.executor_plugin.name == "slurm":
        ask_slurm()
    if not gpu(None):
        logger.warning("No GPU on this machine: networks train on the CPU, two jobs side by side.")
    if CFG["cache"] and not may_write(Path(CFG["cache"])):
        logger.warning(
            f"cache: {CFG['cache']} cannot be written to: what is found there is taken, nothing is added."
        )


rule all:
    default_target: True
    input:
        f"{STUDY}/networks.json",
        f"{STUDY}/report.html",
        f"{STUDY}/scores.parquet",
        f"{STUDY}/audit.parquet",
