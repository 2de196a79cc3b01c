# What a study was made of, for whoever would make it again.


def script_names():
    """The script of each rule, by its path in the folder of scripts without the suffix."""
    named = ((rule.name, Path(rule.script).with_suffix("").parts) for rule in workflow.rules if rule.script)
    return {name: "/".join(parts[parts.index("scripts") + 1 :]) for name, parts in named}


rule provenance:
    log:
        f"{LOGS}/provenance.log",
    retries: 0
    localrule: True
    conda:
        "../../envs/diffusion.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings=slice_text(CFG),
        code=code("tools/provenance"),
        scripts=lambda _: script_names(),
        python=lambda _: sys.executable,
    script:
        "../scripts/tools/provenance.py"
