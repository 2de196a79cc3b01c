# Die flow: one network that draws pass or fail for each die of a wafer's own grid.

DIE_FLOW = f"{RUN}/{{scope}}/sources/{{source}}"


rule train_die_flow:
    input:
        unpack(folds_table),
        store=rules.ingest.output.store,
        selected=rules.select_wafers.output.selected,
    output:
        network=f"{DIE_FLOW}/network.safetensors",
        history=f"{DIE_FLOW}/history.parquet",
    log:
        f"{RUN_LOGS}-train_die_flow-{{scope}}-{{source}}.log",
    wildcard_constraints:
        source=of_kind("die_flow"),
    priority: 15
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(4000),
    params:
        settings=lambda w: pack(
            source=without(SOURCES[w.source], "sampler_steps", "sample_batch"), classes=CLASSES, seed=int(w.seed)
        ),
        code=code("synthesis/train_die_flow"),
    script:
        "../../scripts/synthesis/train_die_flow.py"


rule sample_die_flow:
    input:
        unpack(folds_table),
        unpack(verdict_of),
        store=rules.ingest.output.store,
        selected=rules.select_wafers.output.selected,
        network=rules.train_die_flow.output.network,
    output:
        samples=[f"{DIE_FLOW}/raw/{label}.h5" for label in LABELS],
    log:
        f"{RUN_LOGS}-sample_die_flow-{{scope}}-{{source}}.log",
    wildcard_constraints:
        source=of_kind("die_flow"),
    priority: 15
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(3000),
    params:
        settings=lambda w: pack(
            source=only(SOURCES[w.source], "channels", "augment", "precision", "sampler_steps", "sample_batch"),
            render=DRAWN,
            classes=CLASSES,
            seed=int(w.seed),
            pool=pool_of(w.source),
        ),
        sampler=sampler_code("synthesis/sample_die_flow", "waferbench/synthesis/dieflow/sample"),
        code=code("synthesis/sample_die_flow"),
    script:
        "../../scripts/synthesis/sample_die_flow.py"
