"""What the daemon costs a hypervisor while nobody asks it anything."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simulator.fleet import node_xml

from .tools import watch
from .tools.report import Figure, Target, begin, section
from .tools.server import Server, server

ADDRESS = "127.0.76.1"
DOMAINS = 50
SETTLE_SECONDS = 3
IDLE_SECONDS = 60
MOST_MEMORY = 90.0
MOST_PROCESSOR = 0.5


def main() -> None:
    runs = begin(
        "daemon_idle",
        f"virshmanagerd, owned, {DOMAINS} domains, idle for {IDLE_SECONDS} s",
        runs=1,
        root=False,
    )
    resident, shared_out = (
        Figure("resident, all processes", "MB", 1),
        Figure("proportional, all processes", "MB", 1),
    )
    processor = Figure("processor", "% of a core")
    for _ in range(runs):
        with server() as ours, daemon(ours) as pid:
            time.sleep(SETTLE_SECONDS)
            pids = [pid, *watch.descendants(pid)]
            before = sum(map(watch.processor_seconds, pids))
            time.sleep(IDLE_SECONDS)
            processor.add(100 * (sum(map(watch.processor_seconds, pids)) - before) / IDLE_SECONDS)
            resident.add(sum(watch.memory(each)["VmRSS"] for each in pids) / watch.MEBIBYTE)
            shared_out.add(sum(map(watch.shared_out_memory, pids)) / watch.MEBIBYTE)
    section(f"{len(pids)} processes")
    resident.show(Target(MOST_MEMORY))
    shared_out.show()
    processor.show(Target(MOST_PROCESSOR))


@contextmanager
def daemon(ours: Server) -> Iterator[int]:
    """A daemon of our server, whose domains have been listed once. Gives the pid of its first process."""
    folder = ours.home / "daemon"
    folder.mkdir()
    (folder / "node.xml").write_text(node_xml("hv-1", DOMAINS))
    port = free_port()
    settings = {
        "listen": ADDRESS,
        "port": str(port),
        "uri": f"test://{folder}/node.xml",
        "state-dir": str(folder / "state"),
        "join-file": str(ours.join_file(f"{ADDRESS}/32", uses=1)),
    }
    program = Path(sys.executable).with_name("virshmanagerd")
    arguments = [text for name, value in settings.items() for text in (f"--{name}", value)]
    with subprocess.Popen([program, *arguments], stderr=subprocess.DEVNULL) as process:
        try:
            wait_for_port(port)
            ours.crawl(f"{ADDRESS}/32", "--port", str(port))
            if ours.number("SELECT count(*) FROM domains_domain") != DOMAINS:
                raise RuntimeError("the daemon's domains were not listed")
            yield process.pid
        finally:
            process.terminate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, deadline: float = 10) -> None:
    end = time.monotonic() + deadline
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((ADDRESS, port)) == 0:
                return
        if time.monotonic() > end:
            raise TimeoutError(f"no daemon on port {port}")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
