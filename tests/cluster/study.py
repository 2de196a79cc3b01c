"""A copy of the workflow that is sent to a cluster."""

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from helpers.workflow_copy import copy_workflow

T = TypeVar("T")
SNAKEMAKE = Path(__file__).with_name("impatient.py")
OVERLAY = "tests/config/tiny.yaml"
REAL = "conditions=[real]"


class Study:
    """A copy of the workflow, and how to send the tiny study from it."""

    def __init__(self, folder: Path, environment: dict[str, str]):
        self.folder, self.environment = folder, environment | {"OMP_NUM_THREADS": "1"}
        self.output = folder / "said.log"
        copy_workflow(folder)

    def at_site(self, partition: str, account: str) -> "Study":
        """The two lines of the profile that a site edits."""
        path = self.folder / "profiles/slurm/profile.yaml"
        text = path.read_text()
        for key, value in {"partition": partition, "account": account}.items():
            text, count = re.subn(rf"# slurm_{key}: \S+", f"slurm_{key}: {value}", text, count=1)
            assert count == 1, key
        path.write_text(text)
        return self

    def start(self, *arguments: str, profile: str = "profiles/slurm", settings: str = REAL) -> subprocess.Popen:
        """Start Snakemake with a profile; its output goes to a file, as nobody reads a pipe meanwhile."""
        command = [sys.executable, str(SNAKEMAKE), *arguments, "--profile", profile, "--latency-wait", "5"]
        command += ["--configfile", OVERLAY, "--config", f"set={settings}"]
        with open(self.output, "w") as said:
            return subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=said, stderr=said)

    def run_here(self, *arguments: str) -> None:
        """Run Snakemake on this machine."""
        command = [sys.executable, "-m", "snakemake", *arguments, "--configfile", OVERLAY, "--config", f"set={REAL}"]
        subprocess.run(command, cwd=self.folder, env=self.environment, check=True, capture_output=True)

    def send(self, *arguments: str, profile: str = "profiles/slurm", expect: int = 0) -> str:
        """Run Snakemake with a profile to its end; its combined output."""
        return self.finish(self.start(*arguments, profile=profile), expect)

    def finish(self, run: subprocess.Popen, expect: int = 0) -> str:
        """The output of a run that ends within five minutes as expected."""
        try:
            run.wait(timeout=300)
        finally:
            run.kill()
        output = self.output.read_text()
        assert run.returncode == expect, output[-8000:]
        return output

    def wait_for(self, what: Callable[[], T], run: subprocess.Popen, seconds: int = 150) -> T:
        """What ``what`` finds, once it finds something while a run goes on."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and run.poll() is None:
            if found := what():
                return found
            time.sleep(0.2)
        run.kill()
        raise AssertionError(f"not found in {seconds} s or before the run ended: {self.output.read_text()[-8000:]}")
