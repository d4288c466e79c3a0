"""Ethernet segments with few hosts: what a crawl costs over nmap with its defaults, and what it finds."""

from datetime import datetime
from ipaddress import IPv4Network
from typing import Any

from tests.networks import Namespace

from .tools import nmap
from .tools.report import Figure, Target, begin, quotient, say, section
from .tools.segment import segment
from .tools.server import Server, server
from .tools.wire import metered

PORT = 16510
HYPERVISORS = 12
DEFAULT_RATE = 5000
MOST = 0.25
# The interface counts everything: beside nmap's packets, those of the connections to the hypervisors.
MOST_OVER_RATE = 1.02
# How often nmap runs with its defaults. It needs minutes for a /16, and spreads little: once is enough.
BLOCKS = {IPv4Network("10.78.0.0/20"): 3, IPv4Network("10.78.0.0/16"): 1}


def main() -> None:
    runs = begin("sparse", f"full crawls of Ethernet segments with {HYPERVISORS} hypervisors", runs=20)
    for block, references in BLOCKS.items():
        with server() as ours:
            measure(ours, block, runs=runs, references=references)


def measure(ours: Server, block: IPv4Network, *, runs: int, references: int) -> None:
    with segment(block, ours.home / "hypervisors", hypervisors=HYPERVISORS, port=PORT) as scanner:
        section(str(block))
        bare = Figure("nmap, its own timing, our port", "s")
        for _ in range(references):
            bare.add(nmap.with_defaults(str(block), inside=scanner, port=PORT).seconds)
        bare.show()
        for rate in (None, DEFAULT_RATE):
            ours.make_range(str(block), max_rate=rate)
            crawl_often(ours, scanner, block, runs=runs, rate=rate, bare=bare)


def crawl_often(
    ours: Server, scanner: Namespace, block: IPv4Network, *, runs: int, rate: int | None, bare: Figure
) -> None:
    say(f"  at {rate:,} packets/s:" if rate else "  uncapped:")
    whole, alone = Figure("  manage.py crawl, from start to end", "s"), Figure("  the crawl in it", "s")
    busiest = Figure("  packets sent in the busiest second", "", 0)
    complete = 0
    for _ in range(runs):
        ours.forget()
        with metered(scanner) as meter:
            run, crawl = ours.crawl(str(block), "--port", str(PORT), inside=scanner)
        whole.add(run.seconds)
        alone.add(duration(crawl))
        busiest.add(meter.busiest_second)
        complete += crawl["counts"]["hypervisors"] == HYPERVISORS
    for figure in (whole, alone):
        figure.show()
        quotient(f"{figure.name} / nmap", figure, bare).show(Target(MOST))
    busiest.show(Target(MOST_OVER_RATE * rate) if rate else None)
    verdict = "met" if complete == runs else "MISSED"
    say(f"    all {HYPERVISORS} hypervisors found in {complete} of {runs} runs: {verdict}")


def duration(crawl: dict[str, Any]) -> float:
    """Seconds from the begin to the end of a crawl, without the start of the program that carried it."""
    begun, ended = (datetime.fromisoformat(crawl[name]) for name in ("started_at", "finished_at"))
    return (ended - begun).total_seconds()


if __name__ == "__main__":
    main()
