# DB-SD-LoRA: a frozen latent diffusion base, one LoRA adapter per class, UniPC sampling. The longest chain goes first.

LORA = f"{RUN}/{{scope}}/sources/{{source}}"
BASE_KEYS = ("kind", "base", "size", "precision", "native")
SAMPLER_KEYS = ("sampler_steps", "guidance", "guidance_interval", "sample_batch")


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
        source=of_kind("db_sd_lora"),
    priority: 20
    conda:
        "../../../envs/diffusion.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(4000),
    params:
        settings=lambda w: pack(
            source=only(SOURCES[w.source], *BASE_KEYS), render=DRAWN, classes=CLASSES, seed=int(w.seed)
        ),
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
        adapters=[f"{LORA}/adapters/{label}.safetensors" for label in LABELS],
        history=f"{LORA}/adapters_history.parquet",
    log:
        f"{RUN_LOGS}-train_lora-{{scope}}-{{source}}.log",
    wildcard_constraints:
        source=of_kind("db_sd_lora"),
    priority: 20
    conda:
        "../../../envs/diffusion.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(4000),
    params:
        settings=lambda w: pack(
            source=without(SOURCES[w.source], "native", *SAMPLER_KEYS),
            render=DRAWN,
            classes=CLASSES,
            seed=int(w.seed),
            base_files=base_of(w),
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
        samples=[f"{LORA}/raw/{label}.h5" for label in LABELS],
    log:
        f"{RUN_LOGS}-sample_lora-{{scope}}-{{source}}.log",
    wildcard_constraints:
        source=of_kind("db_sd_lora"),
    priority: 20
    conda:
        "../../../envs/diffusion.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(4000),
    params:
        settings=lambda w: pack(
            source=only(SOURCES[w.source], "kind", "base", "size", "precision", "instance_prompt", *SAMPLER_KEYS),
            render=DRAWN,
            classes=CLASSES,
            seed=int(w.seed),
            pool=pool_of(w.source),
            base_files=base_of(w),
        ),
        sampler=sampler_code("synthesis/sample_lora", "waferbench/synthesis/diffusion/sample"),
        code=code("synthesis/sample_lora"),
    script:
        "../../scripts/synthesis/sample_lora.py"
