# What a study was made of, for whoever would make it again.


rule provenance:
    log:
        f"{LOGS}/provenance.log",
    localrule: True
    conda:
        "../../envs/diffusion.yaml"
    resources:
        mem_mb=2000,
    params:
        settings=pack(**CFG),
        code=code("tools/provenance"),
        seeds=SEEDS,
        scripts=lambda _: script_names(),
        python=lambda _: sys.executable,
    script:
        "../scripts/tools/provenance.py"
