"""Hundreds of daemons, simulated on the loopback: found, identified, enrolled and listed, then probed."""

import json
import socket

from .tools import fleet, watch
from .tools.report import Figure, Target, begin, say, section
from .tools.server import PYTHON, Server, server

NETWORK = "127.0.64.0/21"
FIRST = "127.0.64.1"
SIZES = (500, 1000)
# The first probes open the connections and fill the heap; what comes after them is the steady state.
WARM_UP = 15
PROBES = 10
# These are promised for 500; 1,000 is printed beside.
MOST_MEETING = 30.0
MOST_PROBE = 5.0
# What ten more probes may add to a process that has probed for a while, in MB.
MOST_GROWTH = 2.0
UNKNOWN = "SELECT count(*) FROM hosts_host WHERE trust <> 'owned' OR listed_at IS NULL"


def main() -> None:
    runs = begin(
        "fleet", "daemons identified, enrolled by join key and listed; then probed", runs=3, root=False
    )
    for hosts in SIZES:
        section(f"{hosts} daemons")
        measure(hosts, runs=runs, promised=hosts == SIZES[0])


def measure(hosts: int, *, runs: int, promised: bool) -> None:
    meeting = Figure("from the end of nmap until all are owned and listed", "s")
    memory = Figure("peak memory of that crawl", "MB", 1)
    probe, growth = Figure("steady probe of all", "s"), Figure(f"memory added by {PROBES} probes", "MB", 1)
    for _ in range(runs):
        with server() as ours:
            port = free_port()
            ours.make_range(NETWORK, max_rate=None)
            key, folder = ours.join_file(NETWORK, uses=hosts), ours.home / "hosts"
            with fleet.on_loopback(NETWORK, hosts, folder, port=port, join_file=key):
                run, _crawl = ours.crawl(NETWORK, "--port", str(port))
                check(ours, hosts)
                meeting.add(run.after_nmap or run.seconds)
                memory.add(run.own_peak / watch.MEBIBYTE)
                seconds, sizes = probe_often(ours, port)
                probe.values += seconds
                growth.add((sizes[-1] - sizes[0]) / watch.MEBIBYTE)
    meeting.show(Target(MOST_MEETING) if promised else None)
    memory.show()
    probe.show(Target(MOST_PROBE) if promised else None)
    growth.show(Target(MOST_GROWTH) if promised else None)


def check(ours: Server, hosts: int) -> None:
    known, unknown = ours.number("SELECT count(*) FROM hosts_host"), ours.number(UNKNOWN)
    domains = ours.number("SELECT count(*) FROM domains_domain")
    say(f"  {known} hosts, {domains:,} domains; not owned or not listed: {unknown}")
    if (known, unknown) != (hosts, 0):
        raise RuntimeError("not every daemon was enrolled and listed")


def probe_often(ours: Server, port: int) -> tuple[list[float], list[int]]:
    """Probe in one process again and again, as a worker does. Seconds, and resident bytes after each."""
    command = [PYTHON, "-m", "benchmarks.tools.prober", NETWORK, str(port), str(WARM_UP + PROBES)]
    rounds = json.loads(watch.run(command, environment=ours.environment).output)
    return [each["seconds"] for each in rounds[WARM_UP:]], [
        each["resident"] for each in rounds[WARM_UP - 1 :]
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((FIRST, 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
