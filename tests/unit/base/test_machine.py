"""How jobs end with what started them."""

import subprocess
import sys
import time
from pathlib import Path

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
