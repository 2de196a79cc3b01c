# Die LoRA: a frozen network of wafers without classes, one small adapter per class, samples die by die.

from waferbench.config.synthesis.sources import DieLora

DIE_LORA = SYNTHESIS.source


rule pretrain_die_base:  # on simulated wafers, once for all folds and seeds
    output:
        network=f"{SYNTHESIS.base}/network.safetensors",
        history=f"{SYNTHESIS.base}/base_history.parquet",
        prior=f"{SYNTHESIS.base}/base_samples.h5",
    log:
        f"{LOGS}/pretrain_die_base-{{source}}.log",
    wildcard_constraints:
        source=of_kind(DieLora),
    priority: 20
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(4000),
        runtime=growing(480),
    params:
        settings=lambda w: pack(
            stages.PretrainDieBase, source=SYNTHESIS.sources[w.source], seed=CFG.seed, variant=SYNTHESIS.elsewhere
        ),
        code=code("synthesis/pretrain_die_base"),
    script:
        "../../scripts/synthesis/pretrain_die_base.py"


rule train_die_lora:
    input:
        unpack(folds_table),
        store=rules.ingest.output.store,
        selected=rules.select_wafers.output.selected,
        network=rules.pretrain_die_base.output.network,
    output:
        adapters=[f"{DIE_LORA}/adapters/{label}.safetensors" for label in SYNTHESIS.labels],
        history=f"{DIE_LORA}/adapters_history.parquet",
    log:
        f"{RUN_LOGS}-train_die_lora-{{scope}}-{{source}}.log",
    wildcard_constraints:
        **held("protocol", "seed", "scope"),
        source=of_kind(DieLora),
    priority: 20
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(4000),
        runtime=growing(240),
    params:
        settings=lambda w: pack(stages.TrainDieLora, source=SYNTHESIS.sources[w.source], seed=w.seed),
        code=code("synthesis/train_die_lora"),
    script:
        "../../scripts/synthesis/train_die_lora.py"


rule sample_die_lora:
    input:
        unpack(folds_table),
        unpack(verdict_of),
        store=rules.ingest.output.store,
        selected=rules.select_wafers.output.selected,
        network=rules.pretrain_die_base.output.network,
        adapters=rules.train_die_lora.output.adapters,
    output:
        samples=[f"{DIE_LORA}/raw/{label}.h5" for label in SYNTHESIS.labels],
    log:
        f"{RUN_LOGS}-sample_die_lora-{{scope}}-{{source}}.log",
    wildcard_constraints:
        **held("protocol", "seed", "scope"),
        source=of_kind(DieLora),
    priority: 20
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(3000),
        runtime=growing(240),
    params:
        settings=lambda w: pack(
            stages.SampleDieLora, source=SYNTHESIS.sources[w.source], seed=w.seed, pool=SYNTHESIS.pool(w.source)
        ),
        sampler=sampler_code("synthesis/sample_die_lora", "waferbench/synthesis/dielora/sample"),
        code=code("synthesis/sample_die_lora"),
    script:
        "../../scripts/synthesis/sample_die_lora.py"
