"""Dry runs without starting Python anew: Snakemake is imported once, and each dry run is a fork of that process.

As a script it is that process: it listens on the socket that is its argument, and ends with the one that started it.
"""

import contextlib
import json
import os
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path


class Planner:
    """The process that forks, started when it is first asked."""

    def __init__(self):
        self._started = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._environment: dict[str, str] = {}
        self._place = tempfile.TemporaryDirectory(prefix="planner-")
        self._socket = Path(self._place.name) / "socket"

    def run(self, folder: Path, arguments: list[str]) -> tuple[int, str] | None:
        """Exit status and output of `snakemake *arguments` in a folder; None where the environment has changed."""
        with self._started:
            if self._process is None:
                self._start()
        if self._environment != environment():
            return None
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(self._socket))
            line.sendall(json.dumps({"folder": str(folder), "arguments": arguments}).encode() + b"\n")
            answer = json.loads(line.makefile().read())
        return answer["status"], answer["output"]

    def _start(self) -> None:
        self._environment = environment()
        command = [sys.executable, __file__, str(self._socket)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE)
        until = time.monotonic() + 120
        while not self._socket.exists():
            assert self._process.poll() is None and time.monotonic() < until, "the planner did not start"
            time.sleep(0.02)


def environment() -> dict[str, str]:
    """What a process would inherit, but for what pytest says of the running test."""
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


class Plan(socketserver.StreamRequestHandler):
    """One dry run, in a fork of its own."""

    def handle(self) -> None:
        asked = json.loads(self.rfile.readline())
        with tempfile.TemporaryFile() as output:
            for stream in (1, 2):
                os.dup2(output.fileno(), stream)
            status = dry_run(asked["folder"], asked["arguments"])
            output.seek(0)
            answer = {"status": status, "output": output.read().decode()}
        self.wfile.write(json.dumps(answer).encode())


def dry_run(folder: str, arguments: list[str]) -> int:
    """As `python -m snakemake` would, in a folder."""
    from snakemake.cli import main

    os.chdir(folder)
    sys.path[0] = folder
    sys.argv = ["snakemake", *arguments]
    try:
        main(arguments)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


class Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """A fork a request."""


def serve(place: str) -> None:
    """Listen until the one that started this process is gone."""
    import pydantic
    import snakemake.cli  # what every dry run imports

    assert pydantic and snakemake.cli
    with Server(place, Plan) as server:
        threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever(0.1)


if __name__ == "__main__":
    serve(sys.argv[1])
