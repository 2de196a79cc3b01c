# DB-SD-LoRA: a frozen latent diffusion base, one LoRA adapter per class, UniPC sampling. The longest chain goes first.

from waferbench.config.synthesis.sources import Lora

LORA = SYNTHESIS.source


rule pretrain_base:  # on simulated wafers, once for all folds and seeds
    output:
        base=directory(f"{SYNTHESIS.base}/base"),
        files=f"{SYNTHESIS.base}/base.json",
        history=f"{SYNTHESIS.base}/base_history.parquet",
        prior=f"{SYNTHESIS.base}/base_samples.h5",
    log:
        f"{LOGS}/pretrain_base-{{source}}.log",
    wildcard_constraints:
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
            stages.PretrainBase, source=SYNTHESIS.sources[w.source], seed=CFG.seed, variant=SYNTHESIS.elsewhere
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


RECONSTRUCTED = f"{RUN}/fold{{fold}}/reconstruction/{{source}}.parquet"


rule judge_reconstructions:  # the ceiling of a source: held-out wafers through its autoencoder
    input:
        unpack(native_base),
        checkpoint=f"{RUN}/fold{{fold}}/cells/{CFG.quality.judge.backbone}/{CFG.quality.judge.condition}/checkpoint.safetensors",
        store=rules.ingest.output.store,
        selected=rules.select_wafers.output.selected,
        folds=rules.make_folds.output.folds,
    output:
        judged=RECONSTRUCTED,
    log:
        f"{RUN_LOGS}-judge_reconstructions-fold{{fold}}-{{source}}.log",
    wildcard_constraints:
        **held("protocol", "seed", "fold"),
        source=of_kind(Lora),
    conda:
        "../../../envs/diffusion.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        settings=lambda w: pack(
            stages.JudgeReconstructions,
            source=SYNTHESIS.sources[w.source],
            base_files=ready_base(w),
            backbone=CFG.quality.judge.backbone,
            weights=WEIGHTS.entry(CFG.quality.judge.backbone),
            drawn=SYNTHESIS.judging(),
            classes=SYNTHESIS.classes_of[w.protocol],
            **of_run(w),
        ),
        code=code("synthesis/judge_reconstructions"),
    script:
        "../../scripts/synthesis/judge_reconstructions.py"


rule gather_reconstruction:
    input:
        parts=SYNTHESIS.every_fold(RECONSTRUCTED, first=CFG.quality.scopes == "first", source=SYNTHESIS.of_kind(Lora)),
    output:
        table=f"{STUDY}/reconstruction.parquet",
    log:
        f"{LOGS}/gather_reconstruction.log",
    group:
        "tables"
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=pack(CollectTables, table="reconstruction"),
        code=code("synthesis/gather_table"),
    script:
        "../../scripts/synthesis/gather_table.py"
