# All tracks at once, what is said before and after a run, and the page that links theirs.

from waferbench.engine.machine import may_write
from waferbench.engine.reuse import told, trim
from waferbench.engine.version import made_by_others


rule everything:
    input:
        [getattr(rules, track.target).input for track in TRACKS],


onstart:
    if workflow.executor_plugin.name == "slurm":
        ask_slurm()
    if not gpu(None):
        logger.warning("No GPU on this machine: networks train on the CPU, two jobs side by side.")
    if CFG.cache and not may_write(Path(CFG.cache)):
        logger.warning(f"cache: {CFG.cache} cannot be written to: what is found there is taken, nothing is added.")
    for line in [*made_by_others(Path(STUDY)), *(told(Path(STUDY)) if CFG.store.reuse else [])]:
        logger.warning(line)


onsuccess:
    from waferbench.report.kit.index import write_index  # of what planning need not import

    trim(Path(STUDY), CFG.store.keep_gb)
    try:
        write_index(Path(STUDY), TRACKS)
    except OSError as error:  # no reason to call a finished study failed
        logger.warning(str(error))


onerror:
    trim(Path(STUDY), CFG.store.keep_gb)
