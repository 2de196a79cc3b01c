"""A stand-in for Slurm's sbatch: it knows no partition ``nowhere``, no node with a GPU, and a quality ``busy``."""

from pathlib import Path

SBATCH = """#!/bin/sh
echo "$@" >> {log}
case "$*" in
*nowhere*) echo "allocation failure: Invalid partition name specified" >&2; exit 1 ;;
*--gpus=1*) echo "allocation failure: Requested node configuration is not available" >&2; exit 1 ;;
*busy*) echo "allocation failure: Job violates accounting/QOS policy (job submit limit, user's size)" >&2; exit 1 ;;
esac
"""


def put_sbatch(folder: Path) -> Path:
    """Write it into a folder; the file that it keeps its arguments in."""
    log = folder / "asked"
    (folder / "sbatch").write_text(SBATCH.replace("{log}", str(log)))
    (folder / "sbatch").chmod(0o755)
    return log
