# The study's own store of earlier results, emptied by hand.

from waferbench.base.seals import STORE


rule clean_store:
    log:
        f"{LOGS}/clean_store.log",
    retries: 0
    localrule: True
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        store=f"{STUDY}/{STORE}",
    script:
        "../scripts/clean_store.py"
