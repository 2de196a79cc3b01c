# DB-SD-LoRA: a frozen latent diffusion base, one LoRA adapter per class, UniPC sampling. The longest chain goes first.

from waferbench.config.synthesis.sources import Lora

LORA = SYNTHESIS.source


rule pretrain_base:
    input:
        unpack(folds_table),
        store=rules.ingest.output.store,
        selected=rules.select_wafers.output.selected,
    output:
        base=directory(f"{LORA}/base"),
        files=f"{LORA}/base.json",
        history=f"{LORA}/base_history.parquet",
        prior=f"{LORA}/base_samples.h5",
    log:
        f"{RUN_LOGS}-pretrain_base-{{scope}}-{{source}}.log",
    wildcard_constraints:
        **held("protocol", "seed", "scope"),
        source=of_kind(Lora),
    priority: 20
    conda:
        "../../../envs/diffusion.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(4000),
        runtime=growing(480),
    params:
        settings=lambda w: pack(stages.PretrainBase, source=SYNTHESIS.sources[w.source], seed=w.seed),
        code=code("synthesis/pretrain_base"),
    script:
        "../../scripts/synthesis/pretrain_base.py"


rule train_lora:
    input:
        unpack(folds_table),
        unpack(native_base),
        store=rules.ingest.output.store,
        selected=rules.select_wafers.output.selected,
    output:
        adapters=[f"{LORA}/adapters/{label}.safetensors" for label in SYNTHESIS.labels],
        history=f"{LORA}/adapters_history.parquet",
    log:
        f"{RUN_LOGS}-train_lora-{{scope}}-{{source}}.log",
    wildcard_constraints:
        **held("protocol", "seed", "scope"),
        source=of_kind(Lora),
    priority: 20
    conda:
        "../../../envs/diffusion.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(4000),
        runtime=growing(480),
    params:
        settings=lambda w: pack(
            stages.TrainLora, source=SYNTHESIS.sources[w.source], seed=w.seed, base_files=ready_base(w)
        ),
        code=code("synthesis/train_lora"),
    script:
        "../../scripts/synthesis/train_lora.py"


rule sample_lora:
    input:
        unpack(native_base),
        unpack(verdict_of),
        adapters=rules.train_lora.output.adapters,
    output:
        samples=[f"{LORA}/raw/{label}.h5" for label in SYNTHESIS.labels],
    log:
        f"{RUN_LOGS}-sample_lora-{{scope}}-{{source}}.log",
    wildcard_constraints:
        **held("protocol", "seed", "scope"),
        source=of_kind(Lora),
    priority: 20
    conda:
        "../../../envs/diffusion.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(4000),
        runtime=growing(240),
    params:
        settings=lambda w: pack(
            stages.SampleLora,
            source=SYNTHESIS.sources[w.source],
            seed=w.seed,
            pool=SYNTHESIS.pool(w.source),
            base_files=ready_base(w),
        ),
        sampler=sampler_code("synthesis/sample_lora", "waferbench/synthesis/diffusion/sample"),
        code=code("synthesis/sample_lora"),
    script:
        "../../scripts/synthesis/sample_lora.py"
