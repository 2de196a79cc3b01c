# What jobs claim of a machine or a cluster, and whether it answers. No rule here.

import os
from contextlib import suppress
from copy import copy

from waferbench.base.machine import processors
from waferbench.engine.machine import granted_gpus, has_gpu
from waferbench.engine.objectstore import check_bucket
from waferbench.engine.slurm import check_requests

if workflow.storage_settings.default_storage_provider == "s3":
    provider = workflow.storage_registry.default_storage_provider
    checked(check_bucket, workflow.storage_settings.default_storage_prefix, provider.settings)


def submitted():
    """Whether jobs are sent to a cluster, or this is Snakemake inside such a job, where the executor is a local one again.
    Snakemake knows its executor only once all rules are read."""
    return not workflow.local_exec or workflow.remote_exec


def gpu(_):
    """The GPUs a training job claims: one, but none on a local machine that has none, so that cores are the limit. In a job
    on a cluster the one that it was granted: `--resources gpu=0` does not reach a job, and a step on Slurm may not ask for
    more."""
    if workflow.remote_exec and (granted := granted_gpus()) is not None:
        return min(1, granted)
    return 1 if has_gpu() or submitted() else 0


def network_threads(_):
    """Threads a job with a network claims. Locally half of the cores, beside a GPU at most 4, so that jobs without a
    network run meanwhile: small networks gain more from a second job at their side than from a second thread. On a
    cluster 4, whatever the machine has that submits; `workflow.cores` has no value there."""
    if submitted():
        return 4
    half = max(1, (workflow.cores or processors()) // 2)
    return min(4, half) if gpu(_) else half


def svm_threads(_):
    """Threads an SVM's fit claims; on a cluster the machine that submits says nothing about a node."""
    return 4 if submitted() else min(4, processors())


def ask_slurm():
    """Show Slurm every distinct request before the first is sent: it says less, or nothing, of a group's later."""
    jobs = [job for job in workflow.dag.needrun_jobs() if not (job.is_norun or job.is_local)]
    units = {workflow.dag.get_job_group(job) or job for job in jobs}
    site = workflow.executor_settings
    more = [f"--{key}={value}" for key in ("qos", "reservation") if (value := getattr(site, key, None))]
    later = getattr(site, "partition_config", None) or os.environ.get("SNAKEMAKE_SLURM_PARTITIONS")
    for line in checked(check_requests, [request(unit) for unit in units], more, not later):
        hint = "No GPU in this cluster: add --resources gpu=0. Else see" if "--gpus" in line else "See"
        logger.warning(f"{line}. {hint} docs/operating.md.")


def request(unit):
    """What a job or a group asks for, and its name. A group keeps what it once claimed, so a copy is asked: some of its
    jobs' claims are not known yet."""
    name = f"group {unit.groupid}" if unit.is_group() else unit.rule.name
    unit = copy(unit) if unit.is_group() else unit
    return name, {**unit.resources, "cpus": unit.threads}


def growing(amount):
    """So much memory in MB, or so many minutes, and as much again with every attempt: for what a kill at the limit would
    repeat. A limit is generous, not an estimate."""
    return lambda wildcards, attempt: amount * attempt


def memory_of_rules():
    """The memory that each rule claims at its first attempt, in MB, but for what a profile states as an expression."""
    claims = {}
    for each in workflow.rules:
        with suppress(TypeError):  # an expression asks for more than the attempt
            if each.script and "mem_mb" in each.resources:
                claims[each.name] = each.resources["mem_mb"].evaluate(None, attempt=1).value
    return claims


def script_names():
    """The script of each rule, by its path in the folder of scripts without the suffix."""
    named = ((rule.name, Path(rule.script).with_suffix("").parts) for rule in workflow.rules if rule.script)
    return {name: Path(*parts[parts.index("scripts") + 1 :]).as_posix() for name, parts in named if "scripts" in parts}
