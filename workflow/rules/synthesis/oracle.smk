# The oracle: further real wafers in the place of samples, which is what perfect synthesis would add.

from waferbench.config.study import Simulator
from waferbench.config.synthesis.sources import Oracle

FRESH = CFG.dataset.source == "simulated"


rule draw_oracle:
    input:
        unpack(oracle_wafers),
    output:
        samples=[f"{SYNTHESIS.source}/raw/{label}.h5" for label in SYNTHESIS.labels],
    log:
        f"{RUN_LOGS}-draw_oracle-{{scope}}-{{source}}.log",
    wildcard_constraints:
        **held("protocol", "seed", "scope"),
        source=of_kind(Oracle),
    priority: 15
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=lambda w: pack(
            stages.DrawOracle,
            seed=w.seed,
            n_accepted=SYNTHESIS.pool(w.source).n_accepted,
            batch=CFG.pool.n_accepted,
            simulator=Simulator.of(CFG.dataset.simulated) if FRESH else None,
        ),
        code=code("synthesis/draw_oracle"),
    script:
        "../../scripts/synthesis/draw_oracle.py"
