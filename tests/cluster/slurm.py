"""A real Slurm on this one machine, with accounting, in a folder of its own: munge, MariaDB, slurmdbd, slurmctld and as
many slurmd as the cluster has nodes. Nothing outside of the folder is read or written."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

DAEMONS = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd")
TOOLS = ("mariadb-install-db", "mariadb", "sacctmgr", "srun")
PACKAGES = "slurm-wlm slurmdbd mariadb-server munge"
SBIN = "/usr/sbin"

SLURMDBD = """
DbdHost=localhost
DbdPort={dbd_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={db_port}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
"""

SLURM = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={dbd_port}
AccountingStoragePass={folder}/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
AccountingStorageEnforce=associations
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000
KillWait=2
ReturnToService=2
SlurmdParameters=config_overrides
{nodes}
PartitionName=main Nodes=gpu[1-{gpu_nodes}] Default=YES
PartitionName=cpu Nodes=cpu1
PartitionName=urgent Nodes=gpu[1-{gpu_nodes}] PriorityTier=10
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=8 RealMemory=16000 {more}"


class Slurm:
    """A cluster of ``gpu_nodes`` nodes with 8 processors, 16 GB and one GPU each, all of them make-believe, in the
    partition ``main``, and one node without a GPU in the partition ``cpu``; what is sent to ``urgent`` takes the place
    of jobs of ``main``. The account is ``lab``. A requeued job waits as long as a credential lasts
    (``cred_expire``)."""

    def __init__(self, folder: Path, gpu_nodes: int):
        self.folder, self.gpu_nodes = folder, gpu_nodes
        self.processes: list[subprocess.Popen] = []
        # A job drops SLURM_CONF before it calls srun (the executor clears SLURM_*); on a site srun finds its
        # configuration in /etc, here through this one.
        self.environment = os.environ | {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": f"{folder}/bin:{os.environ['PATH']}:{SBIN}",
        }

    def start(self) -> "Slurm":
        """Bring all up, or take down what came up."""
        try:
            self._write_configuration()
            self._start_daemons()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Cancel all jobs, end every process of this cluster, remove its folder."""
        subprocess.run(["scancel", "--user=root"], env=self.environment, capture_output=True, timeout=20, check=False)
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in self.left_processes():  # a job's steps are no child of ours
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def left_processes(self) -> list[int]:
        """The processes that name this cluster's folder, but for this one."""
        sign, found = os.fsencode(self.folder), []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:  # gone meanwhile
                continue
            if sign in text and int(entry.name) != os.getpid():
                found.append(int(entry.name))
        return found

    def run(self, *command: str) -> str:
        """What a command of Slurm's prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def jobs(self, *fields: str) -> list[dict[str, str]]:
        """The jobs that the accounting knows, every start of a requeued one by itself, oldest first."""
        command = ("sacct", "-XDPn", "--starttime=now-1days", f"--format={','.join(fields)}")
        return [dict(zip(fields, line.split("|"), strict=True)) for line in self.run(*command).splitlines()]

    def running(self, rule: str) -> list[str]:
        """The ids of the running jobs of a rule or a group: the comment says it, and the wildcards."""
        lines = [line.split() for line in self.run("squeue", "-h", "-t", "RUNNING", "-o", "%i %k").splitlines()]
        return [number for number, comment in lines if comment.startswith(f"rule_{rule}")]

    def preempt(self, job: str) -> None:
        """Send a job of more weight to the node where another one runs, and all of the node for it."""
        node = self.run("squeue", "-h", "-j", job, "-o", "%N").strip()
        urgent = ("--partition=urgent", "--account=lab", f"--nodelist={node}", "--exclusive", "--wrap=sleep 1")
        self.run("sbatch", "--comment=urgent", "--output=/dev/null", *urgent)

    def _write_configuration(self) -> None:
        for name in ("state", "bin"):
            (self.folder / name).mkdir(parents=True)
        ports, host = free_ports(4 + self.gpu_nodes), socket.gethostname().partition(".")[0]
        names = {f"gpu{number + 1}": "Gres=gpu:1" for number in range(self.gpu_nodes)} | {"cpu1": ""}
        self.nodes = list(names)
        nodes = [
            NODE.format(name=n, host=host, port=p, more=m) for (n, m), p in zip(names.items(), ports[3:], strict=True)
        ]
        self.password = secrets.token_hex(8)
        facts = dict(zip(("dbd_port", "db_port", "ctld_port"), ports[:3], strict=True), folder=self.folder, host=host)
        self.db_port = ports[1]
        more = {"password": self.password, "nodes": "\n".join(nodes), "gpu_nodes": self.gpu_nodes}
        gres_conf = "NodeName=gpu[1-{gpu_nodes}] Name=gpu File=/dev/null\n"
        for name, text in {"slurmdbd.conf": SLURMDBD, "slurm.conf": SLURM, "gres.conf": gres_conf}.items():
            (self.folder / name).write_text(text.format(**facts, **more))
            (self.folder / name).chmod(0o600)
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(256))
        key.chmod(0o400)
        srun = self.folder / "bin" / "srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)

    def _start_daemons(self) -> None:
        at = self.folder
        self._daemon(
            *("munged", "--foreground", "--force", f"--key-file={at}/munge.key", f"--socket={at}/munge.socket"),
            *(f"--pid-file={at}/munge.pid", f"--seed-file={at}/munge.seed", f"--log-file={at}/munge.log"),
        )
        self.run("mariadb-install-db", "--no-defaults", f"--datadir={at}/db", "--user=root", "--skip-test-db")
        self._daemon(
            *("mariadbd", "--no-defaults", "--user=root", f"--datadir={at}/db", f"--socket={at}/db.socket"),
            *(f"--port={self.db_port}", "--bind-address=127.0.0.1", "--skip-log-bin", "--skip-name-resolve"),
            *("--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=0", f"--pid-file={at}/db.pid"),
        )
        sql = ("mariadb", "--no-defaults", f"--socket={at}/db.socket", "-e")
        self._wait("MariaDB", lambda: self.run(*sql, "SELECT 1"))
        user = "slurm@127.0.0.1"
        self.run(*sql, f"CREATE USER {user} IDENTIFIED BY '{self.password}'; GRANT ALL ON slurm.* TO {user}")
        self._daemon("slurmdbd", "-D")
        self._wait("slurmdbd", lambda: self.run("sacctmgr", "-n", "list", "cluster"))
        for what in ("cluster test", "account lab Cluster=test", "user root Account=lab"):
            self.run("sacctmgr", "-i", "add", *what.split())
        self._daemon("slurmctld", "-D")
        for node in self.nodes:
            self._daemon("slurmd", "-D", "-N", node)
        self._wait(
            "the nodes",
            lambda: self.run("sinfo", "-hN", "-p", "main,cpu", "-o", "%T").split() == ["idle"] * len(self.nodes),
        )

    def _daemon(self, name: str, *arguments: str) -> None:
        program = shutil.which(name, path=self.environment["PATH"])
        with open(self.folder / f"{name}.out", "a") as said:
            self.processes.append(
                subprocess.Popen([program, *arguments], env=self.environment, stdout=said, stderr=said)
            )

    def _wait(self, what: str, ready: Callable[[], object], seconds: int = 30) -> None:
        until, problem = time.monotonic() + seconds, ""
        while time.monotonic() < until:
            try:
                if ready() is not False:
                    return
            except (AssertionError, subprocess.TimeoutExpired) as error:
                problem = str(error)
            time.sleep(0.1)
        logs = "\n".join(log.read_text(errors="replace")[-1500:] for log in sorted(self.folder.glob("*.log")))
        raise RuntimeError(f"{what} did not come up in {seconds} s: {problem}\n{logs}")


def missing() -> str:
    """Why no Slurm can be brought up here; empty where one can."""
    found = [name for name in (*DAEMONS, *TOOLS) if not shutil.which(name, path=f"{os.environ['PATH']}:{SBIN}")]
    if found:
        return f"no {found[0]}: apt-get install {PACKAGES}"
    if not find_spec("snakemake_executor_plugin_slurm"):
        return "no executor for Slurm: pip install -r requirements-cluster.txt"
    return "" if os.geteuid() == 0 else "Slurm's daemons need root"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
