"""Importing the library changes nothing of the process that imports it: it may be a notebook."""

import subprocess
import sys
from pathlib import Path

LIBRARY = Path(__file__).parents[3] / "workflow/scripts"
LOOK = """
import gc, os, signal, sys
sys.path.insert(0, sys.argv[1])
before = gc.get_threshold(), dict(os.environ), signal.getsignal(signal.SIGTERM)
import waferbench, waferbench.engine.job, waferbench.wafers.training, waferbench.tracks
waferbench.tracks.all_tracks()
assert (gc.get_threshold(), dict(os.environ), signal.getsignal(signal.SIGTERM)) == before
assert "torch" not in sys.modules and "timm" not in sys.modules and "snakemake" not in sys.modules
"""
PREPARE = """
import gc, os, sys
sys.path.insert(0, sys.argv[1])
from waferbench.engine.process import prepare
prepare(object())
assert gc.get_threshold()[0] == 100_000 and os.environ["GOMP_SPINCOUNT"] == "1000"
"""


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code, str(LIBRARY)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_import_leaves_the_process_as_it_was():
    run(LOOK)


def test_a_job_sets_its_process_before_anything_heavy_is_imported():
    run(PREPARE)
