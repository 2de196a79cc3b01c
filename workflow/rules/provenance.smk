# What a study was made of, for whoever would make it again.


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
        workflow=str(CLONE or ""),
        snakefile=lambda _: workflow.main_snakefile,
    script:
        "../scripts/tools/provenance.py"
