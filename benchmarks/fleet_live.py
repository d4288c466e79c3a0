"""1,000 simulated hosts with 20,000 domains, followed live: all well, then a tenth hung, a tenth refusing."""

import os
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .fleet import NETWORK, free_port
from .tools import fleet
from .tools.report import Figure, Target, begin, quotient, say, section
from .tools.server import Server, server
from .tools.whole import Whole, ear, wait_until, whole

HOSTS, DOMAINS_EACH, UNWELL = 1000, 20, 100
RATE = 200
EVENT_SECONDS = 30
SETTLE_SECONDS = 45
REQUESTS = 100
API, PAGE = "/api/domains/?page_size=100", "/domains/"
LISTS = (API, PAGE)
MEMORY = {"watcher": 300.0, "web": 250.0, "worker": 250.0}
MOST_RESYNC, MOST_EVENT, MOST_LIST = 20.0, 250.0, 60.0
# The noise of a shared machine.
MOST_WORSE = 1.25


@dataclass
class Figures:
    """What is measured of a fleet, well or unwell."""

    resync: Figure = field(default_factory=lambda: Figure("full resync after a watcher restart", "s", 1))
    event: Figure = field(default_factory=lambda: Figure(f"event to Channels at {RATE}/s, p95", "ms", 0))
    lists: dict[str, Figure] = field(
        default_factory=lambda: {path: Figure(f"GET {path}, p95", "ms", 0) for path in LISTS}
    )
    memory: dict[str, Figure] = field(
        default_factory=lambda: {part: Figure(f"resident, {part}", "MB", 0) for part in MEMORY}
    )

    def show(self) -> None:
        self.resync.show(Target(MOST_RESYNC))
        self.event.show(Target(MOST_EVENT))
        for figure in self.lists.values():
            figure.show(Target(MOST_LIST))
        for part, figure in self.memory.items():
            figure.show(Target(MEMORY[part]))


def main() -> None:
    what = f"{HOSTS} hosts with {HOSTS * DOMAINS_EACH:,} domains, simulated, followed live"
    runs = begin("fleet_live", what, runs=3, root=False)
    well, unwell = Figures(), Figures()
    with server() as ours:
        port, folder = free_port(), ours.home / "hosts"
        ours.make_range(NETWORK, max_rate=None, port=port)
        key = ours.join_file(NETWORK, uses=HOSTS)
        with played(folder, port, key) as simulator:
            ours.crawl(NETWORK)
            check(ours)
            with whole(ours) as running:
                section("all are well")
                measure(ours, running, simulator, well, runs=runs, hosts=HOSTS)
        well.show()
        with (
            played(folder, port, key, "--hung", str(UNWELL), "--refusing", str(UNWELL)) as simulator,
            whole(ours) as running,
        ):
            section(f"{UNWELL} accept and never answer, {UNWELL} refuse")
            measure(ours, running, simulator, unwell, runs=runs, hosts=HOSTS - 2 * UNWELL)
    unwell.show()
    section("unwell against well")
    compare(well, unwell)


@contextmanager
def played(folder: Path, port: int, key: Path, *more: str) -> "Iterator[subprocess.Popen[str]]":
    options = ("--domains", str(DOMAINS_EACH), "--events", str(RATE), *more)
    with fleet.on_loopback(NETWORK, HOSTS, folder, port=port, join_file=key, more=options) as process:
        yield process


def check(ours: Server) -> None:
    hosts = ours.number("SELECT count(*) FROM hosts_host WHERE trust = 'owned' AND listed_at IS NOT NULL")
    domains = ours.number("SELECT count(*) FROM domains_domain")
    if (hosts, domains) != (HOSTS, HOSTS * DOMAINS_EACH):
        raise RuntimeError(f"only {hosts} hosts and {domains} domains are known")


def measure(
    ours: Server,
    running: Whole,
    simulator: "subprocess.Popen[str]",
    figures: Figures,
    *,
    runs: int,
    hosts: int,
) -> None:
    wait_until(lambda: listed_since(ours, 0) >= hosts, "every host that answers is listed", 120)
    time.sleep(SETTLE_SECONDS)  # the steady state: what starting and the sick hosts cost once is over
    for _ in range(runs):
        figures.resync.add(resync(ours, running, hosts))
        figures.event.add(events(ours, simulator))
        for path, figure in figures.lists.items():
            seconds = Figure(path, values=running.timed(path, REQUESTS))
            figure.add(1000 * seconds.percentile(95).median)
        for part, figure in figures.memory.items():
            figure.add(running.resident(part))


def resync(ours: Server, running: Whole, hosts: int) -> float:
    """Kill the watcher; seconds until the next one has listed every host that answers."""
    killed = time.time()
    os.kill(running.pid("watcher"), signal.SIGKILL)
    return wait_until(lambda: listed_since(ours, killed) >= hosts, "all are listed again", 120)


def listed_since(ours: Server, moment: float) -> int:
    then = f"strftime('%Y-%m-%d %H:%M:%f', {moment}, 'unixepoch')"
    return ours.number(f"SELECT count(*) FROM hosts_host WHERE listed_at > {then}")  # noqa: S608 -- a number


def events(ours: Server, simulator: "subprocess.Popen[str]") -> float:
    """Let domains change for a while; the p95 of what it took until Channels told of it, in ms."""
    with ear(ours) as listener:
        heard: dict[int, float] = {}
        reader = threading.Thread(target=listen, args=(listener, heard), daemon=True)
        reader.start()
        simulator.send_signal(signal.SIGUSR1)
        time.sleep(EVENT_SECONDS)
        simulator.send_signal(signal.SIGUSR1)
        time.sleep(2)
    reader.join(5)
    happened = changes(ours)
    waits = [1000 * (heard[key] - at) for key, at in happened.items() if key in heard]
    say(f"  {len(happened):,} events in {EVENT_SECONDS} s; not told: {len(happened) - len(waits)}")
    if len(waits) < len(happened):
        raise RuntimeError("not every event was told")
    return Figure("event", values=waits).percentile(95).median


def listen(listener: "subprocess.Popen[str]", heard: dict[int, float]) -> None:
    for line in listener.stdout or ():
        event, key, at = line.split()
        if event == "domain.changed":
            heard.setdefault(int(key), float(at))


def changes(ours: Server) -> dict[int, float]:
    """When which domain changed, by its key here, as the simulator wrote it down; its notes are read once."""
    with closing(sqlite3.connect(ours.home / "db.sqlite3")) as database:
        keys = {uuid: key for key, uuid in database.execute("SELECT id, uuid FROM domains_domain")}
    happened = {}
    for notes in (ours.home / "hosts").glob("events-*.log"):
        for line in notes.read_text().splitlines():
            uuid, at = line.split()
            happened[keys[uuid.replace("-", "")]] = float(at)
        notes.write_text("")
    return happened


def compare(well: Figures, unwell: Figures) -> None:
    pairs = [(unwell.resync, well.resync), (unwell.event, well.event)]
    pairs += [(unwell.lists[path], well.lists[path]) for path in LISTS]
    for sick, reference in pairs:
        quotient(sick.name, sick, reference).show(Target(MOST_WORSE))


if __name__ == "__main__":
    main()
