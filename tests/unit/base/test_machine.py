"""How jobs end with what started them, and keep the memory that they have had."""

import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from waferbench.base import machine

SCRIPTS = str(Path(machine.__file__).parents[2])
JOB = f"""
import sys, time
sys.path.insert(0, {SCRIPTS!r})
from waferbench.base.machine import end_with_parent
end_with_parent()
print("ready", flush=True)
time.sleep(60)
"""
PARENT = f"""
import subprocess, sys
job = subprocess.Popen([sys.executable, "-c", {JOB!r}])
print(job.pid, flush=True)
job.wait()
"""


def alive(pid: str) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_job_ends_with_the_process_that_started_it():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    told = {parent.stdout.readline().strip() for _ in range(2)}
    (pid,) = told - {"ready"}
    assert alive(pid)
    parent.kill()
    parent.wait()
    until = time.monotonic() + 20
    while alive(pid):
        assert time.monotonic() < until, "the job outlived the process that started it"
        time.sleep(0.05)


FAULTS = f"""
import resource, sys
sys.path.insert(0, {SCRIPTS!r})
from waferbench.base.machine import keep_freed_memory
import numpy as np
if sys.argv[1] == "keep":
    keep_freed_memory()
for step in range(4):
    if step == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [np.ones(2_000_000, np.uint8) for _ in range(64)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has its own ways")
def test_memory_that_is_freed_and_asked_for_again_is_not_mapped_anew():
    def faults(how: str) -> int:
        command = [sys.executable, "-c", FAULTS, how]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert faults("keep") < 500 < 5_000 < faults("leave")
