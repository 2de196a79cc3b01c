# What may keep a study from running, said before it runs.


rule doctor:
    log:
        f"{STUDY}/doctor.txt",
    retries: 0
    localrule: True
    conda:
        "../../envs/diffusion.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=slice_text(CFG),
        memory=lambda _: memory_of_rules(),
        executor=lambda _: workflow.executor_plugin.name,
        submit=lambda _: getattr(workflow.executor_settings, "submit_cmd", None) or "",
    script:
        "../scripts/doctor.py"
