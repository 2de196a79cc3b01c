# Die flow: one network that draws pass or fail for each die of a wafer's own grid.

from waferbench.config.synthesis.sources import DieFlow

DIE_FLOW = SYNTHESIS.source


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
        **held("protocol", "seed", "scope"),
        source=of_kind(DieFlow),
    priority: 15
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(4000),
        runtime=growing(480),
    params:
        settings=lambda w: pack(stages.TrainDieFlow, source=SYNTHESIS.sources[w.source], seed=w.seed),
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
        samples=[f"{DIE_FLOW}/raw/{label}.h5" for label in SYNTHESIS.labels],
    log:
        f"{RUN_LOGS}-sample_die_flow-{{scope}}-{{source}}.log",
    wildcard_constraints:
        **held("protocol", "seed", "scope"),
        source=of_kind(DieFlow),
    priority: 15
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(3000),
        runtime=growing(240),
    params:
        settings=lambda w: pack(
            stages.SampleDieFlow, source=SYNTHESIS.sources[w.source], seed=w.seed, pool=SYNTHESIS.pool(w.source)
        ),
        sampler=sampler_code("synthesis/sample_die_flow", "waferbench/synthesis/dieflow/sample"),
        code=code("synthesis/sample_die_flow"),
    script:
        "../../scripts/synthesis/sample_die_flow.py"
