# TS-HingeGAN: one generator on all classes pooled, then one per class from its weights.

from waferbench.config.synthesis.sources import Gan

GAN = SYNTHESIS.source


rule train_gan:
    input:
        unpack(folds_table),
        store=rules.ingest.output.store,
        selected=rules.select_wafers.output.selected,
    output:
        stage1=f"{GAN}/stage1.safetensors",
        generators=[f"{GAN}/generators/{label}.safetensors" for label in SYNTHESIS.labels],
        history=f"{GAN}/history.parquet",
        facts=f"{GAN}/facts.json",
    log:
        f"{RUN_LOGS}-train_gan-{{scope}}-{{source}}.log",
    wildcard_constraints:
        **held("protocol", "seed", "scope"),
        source=of_kind(Gan),
    priority: 10
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(3000),
        runtime=growing(480),
    params:
        settings=lambda w: pack(stages.TrainGan, source=SYNTHESIS.sources[w.source], seed=w.seed),
        code=code("synthesis/train_gan"),
    script:
        "../../scripts/synthesis/train_gan.py"


rule sample_gan:
    input:
        unpack(verdict_of),
        generators=rules.train_gan.output.generators,
    output:
        samples=[f"{GAN}/raw/{label}.h5" for label in SYNTHESIS.labels],
    log:
        f"{RUN_LOGS}-sample_gan-{{scope}}-{{source}}.log",
    wildcard_constraints:
        **held("protocol", "seed", "scope"),
        source=of_kind(Gan),
    priority: 10
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        settings=lambda w: pack(
            stages.SampleGan, source=SYNTHESIS.sources[w.source], seed=w.seed, pool=SYNTHESIS.pool(w.source)
        ),
        sampler=sampler_code("synthesis/sample_gan", "waferbench/synthesis/gan/sample"),
        code=code("synthesis/sample_gan"),
    script:
        "../../scripts/synthesis/sample_gan.py"
