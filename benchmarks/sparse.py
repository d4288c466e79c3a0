"""Ethernet segments with few hosts: what a crawl costs over nmap with its defaults, and what it finds."""

from ipaddress import IPv4Network

from tests.networks import Namespace

from .tools import nmap
from .tools.report import Figure, Target, begin, quotient, say, section
from .tools.segment import segment
from .tools.server import Server, server
from .tools.wire import metered

PORT = 16510
HYPERVISORS = 12
RATE = 5000
MOST = 0.25
# The interface counts everything: beside nmap's packets, those of the connections to the hypervisors.
MOST_RATE = 1.02 * RATE


def main() -> None:
    what = f"full crawls of Ethernet segments with {HYPERVISORS} hypervisors, at {RATE:,} packets/s"
    runs = begin("sparse", what, runs=20)
    with server() as ours:
        measure(ours, IPv4Network("10.78.0.0/20"), runs=runs, references=3)
        # nmap's defaults need minutes for it, and spread little: once is enough.
        measure(ours, IPv4Network("10.78.0.0/16"), runs=runs, references=1)


def measure(ours: Server, block: IPv4Network, *, runs: int, references: int) -> None:
    folder = ours.home / f"hypervisors-{block.prefixlen}"
    with segment(block, folder, hypervisors=HYPERVISORS, port=PORT) as scanner:
        section(f"{block}")
        bare = Figure("nmap with its defaults", "s")
        for _ in range(references):
            bare.add(nmap.with_defaults(str(block), inside=scanner, port=PORT).seconds)
        bare.show()
        crawl_often(ours, scanner, block, runs=runs, bare=bare)


def crawl_often(ours: Server, scanner: Namespace, block: IPv4Network, *, runs: int, bare: Figure) -> None:
    seconds, rates = Figure("crawl", "s"), Figure("packets sent in the busiest second", "", 0)
    complete = 0
    for _ in range(runs):
        ours.forget()
        with metered(scanner) as meter:
            run, crawl = ours.crawl(str(block), "--port", str(PORT), "--max-rate", str(RATE), inside=scanner)
        seconds.add(run.seconds)
        rates.add(meter.busiest_second)
        complete += crawl["counts"]["hypervisors"] == HYPERVISORS
    seconds.show()
    quotient("crawl / nmap with its defaults", seconds, bare).show(Target(MOST))
    rates.show(Target(MOST_RATE))
    verdict = "met" if complete == runs else "MISSED"
    say(f"  all {HYPERVISORS} hypervisors found in {complete} of {runs} runs: {verdict}")


if __name__ == "__main__":
    main()
