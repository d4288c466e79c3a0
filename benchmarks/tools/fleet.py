"""Simulated hypervisors for a benchmark: on the loopback, or on chosen addresses inside a namespace."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from simulator.hosts import Plan
from simulator.processes import Fleet
from tests.networks import Namespace

from .watch import PROJECT

READY_SECONDS = 60
STOP_SECONDS = 10


@contextmanager
def on_loopback(
    network: str, hosts: int, folder: Path, *, port: int, join_file: Path | None, more: Sequence[str] = ()
) -> Iterator["subprocess.Popen[str]"]:
    """Play `hosts` hypervisors on the first addresses of a loopback network, with more options of its own."""
    arguments = ["--network", network, "--hosts", str(hosts), "--foreign", "0", "--port", str(port)]
    if join_file:
        arguments += ["--join-file", str(join_file)]
    with _playing(
        [sys.executable, "-m", "simulator", "--state-dir", str(folder), *arguments, *more]
    ) as process:
        yield process


@contextmanager
def inside(namespace: Namespace, addresses: Sequence[str], folder: Path, *, port: int) -> Iterator[None]:
    """Play a hypervisor at each of `addresses`, which the namespace has."""
    command = [sys.executable, "-m", "benchmarks.tools.fleet", str(folder), str(port), *addresses]
    with _playing(namespace.command(*command)):
        yield


@contextmanager
def _playing(command: Sequence[str]) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        # A simulator that never says that it is ready must not hold us up.
        timer = threading.Timer(READY_SECONDS, process.kill)
        timer.start()
        try:
            ready = process.stdout.readline() if process.stdout else ""
            timer.cancel()
            if not ready:
                raise RuntimeError(f"no hypervisors: {' '.join(command)}")
            yield process
        finally:
            timer.cancel()
            process.terminate()
            process.wait(STOP_SECONDS)


def main() -> None:
    """Play hypervisors at the addresses of the command line, until SIGTERM or SIGINT."""
    folder, port, *addresses = sys.argv[1:]
    fleet = Fleet(Plan(hypervisors=tuple(addresses), port=int(port), state_dir=Path(folder), domains=(5, 5)))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: fleet.stop())
    fleet.play(lambda: print("ready", flush=True))


if __name__ == "__main__":
    main()
