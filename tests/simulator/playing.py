"""Run the simulator as the demo runs it: a program of its own, that says when it is ready."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent.parent
NETWORK = "127.0.78.0/28"
HYPERVISORS = tuple(f"127.0.78.{number}" for number in range(1, 7))
FOREIGN = "127.0.78.7"
OTHER = "127.0.78.8"


@dataclass
class Simulation:
    """A simulator that runs, and the port of all its hosts."""

    process: "subprocess.Popen[str]"
    port: int

    @property
    def pid(self) -> int:
        return self.process.pid

    def parts(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Its hosts accept, and answer nobody, until they go on where they were."""
        silenced = [psutil.Process(self.pid), *self.parts()]
        for part in silenced:
            part.suspend()
        try:
            yield
        finally:
            for part in silenced:
                part.resume()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HYPERVISORS[0], 0))
        port: int = probe.getsockname()[1]
        return port


def start(folder: Path, *arguments: str, port: int, network: str = NETWORK) -> "subprocess.Popen[str]":
    where = ("--network", network, "--port", str(port), "--state-dir", str(folder))
    return subprocess.Popen(
        [sys.executable, "-m", "simulator", *where, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@contextmanager
def simulation(folder: Path, *arguments: str, network: str = NETWORK) -> Iterator[Simulation]:
    """A simulator whose hosts listen. It is killed at the end, if it has not ended by then."""
    port = free_port()
    with start(folder, *arguments, port=port, network=network) as process:
        try:
            ready = process.stdout.readline() if process.stdout else ""
            assert "hypervisors on" in ready, process.stderr and process.stderr.read()
            yield Simulation(process, port)
        finally:
            if process.poll() is None:
                for part in psutil.Process(process.pid).children():
                    part.kill()
                process.kill()


def refused(folder: Path, *arguments: str, port: int | None = None) -> tuple[int, str]:
    """Start a simulator that must not start; return its exit status and its last line of words."""
    with start(folder, *arguments, port=port or free_port()) as process:
        out, errors = process.communicate(timeout=30)
    assert out == ""
    return process.returncode, errors.strip().splitlines()[-1]
