# The networks that the study will use: each name known, each weight file at hand. Checked first, so that a mistake
# costs seconds and not the hours of training before the network is needed.

from waferbench.config.synthesis.networks import networks_of


rule check_networks:
    output:
        networks=f"{STUDY}/networks.json",
    log:
        f"{LOGS}/check_networks.log",
    priority: 100
    conda:
        "../../../envs/diffusion.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=slice_text(checked(networks_of, CFG, WEIGHTS.of)),
        code=code("synthesis/check_networks"),
    script:
        "../../scripts/synthesis/check_networks.py"
