# The networks that the study will use: each name known, each weight file at hand. Checked first, so that a mistake
# costs seconds and not the hours of training before the network is needed.


rule check_networks:
    output:
        networks=f"{STUDY}/networks.json",
    log:
        f"{LOGS}/check_networks.log",
    priority: 100
    conda:
        "../../envs/diffusion.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        settings=pack(
            backbones={
                name: {"name": name, **entry, "weights": weights_of(name)}
                for name, entry in USED["define"]["backbones"].items()
            },
            sources={
                name: only(SOURCES[name], "base", "size", "native", "target_modules", "instance_prompt")
                for name in sources_of_kind("db_sd_lora")
            },
            quality=(
                {**only(CFG["quality"], "network", "image_size"), "weights": weights_of(CFG["quality"]["network"])}
                if SOURCES and "@" not in CFG["quality"]["network"]
                else None
            ),
        ),
        code=code("tools/check_networks"),
    script:
        "../scripts/tools/check_networks.py"
