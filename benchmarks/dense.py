"""A /16 in which every address answers: what a whole crawl costs over bare nmap, in time and memory."""

from tests.networks import Network
from tests.networks import dense as dense_network

from .tools import nmap
from .tools.report import Figure, Target, begin, ratio, section
from .tools.server import Server, server
from .tools.watch import MEBIBYTE

BLOCK = "10.78.0.0/16"
ADDRESSES = 65536
PORT = 16510
DEFAULT_RATE = 5000
MOST_UNCAPPED = 1.5
MOST_CAPPED = 1.1
MOST_MEMORY = 200.0


def main() -> None:
    runs = begin("dense", f"full crawl of {BLOCK}, {ADDRESSES:,} addresses up, stored and published", runs=3)
    for on_link in (False, True):
        with dense_network(BLOCK, on_link=on_link) as network:
            for rate, most in ((None, MOST_UNCAPPED), (DEFAULT_RATE, MOST_CAPPED)):
                with server() as ours:
                    measure(ours, network, runs=runs, on_link=on_link, rate=rate, most=most)


def measure(
    ours: Server, network: Network, *, runs: int, on_link: bool, rate: int | None, most: float
) -> None:
    crawls, bare = Figure("crawl", "s"), Figure("bare nmap, same arguments", "s")
    computed, bare_computed = Figure("crawl, processor", "s"), Figure("bare nmap, processor", "s")
    memory = {
        "own_peak": Figure("peak memory of the crawl process", "MB", 1),
        "children_peak": Figure("peak memory of nmap below it", "MB", 1),
        "together_peak": Figure("peak memory together", "MB", 1),
    }
    ours.make_range(BLOCK, max_rate=rate)
    for _ in range(runs):
        reference = nmap.with_our_arguments(BLOCK, inside=network.scanner, port=PORT, max_rate=rate)
        bare.add(reference.seconds)
        bare_computed.add(reference.processor)
        ours.forget()
        run, crawl = ours.crawl(BLOCK, "--port", str(PORT), inside=network.scanner)
        crawls.add(run.seconds)
        computed.add(run.processor)
        if (
            crawl["counts"]["others"] != ADDRESSES
            or ours.number("SELECT count(*) FROM discovery_address") != ADDRESSES
        ):
            raise RuntimeError(f"not all addresses were found and stored: {crawl}")
        for name, figure in memory.items():
            figure.add(getattr(run, name) / MEBIBYTE)
    section(f"{'on-link' if on_link else 'routed'}, {f'{rate:,} packets/s' if rate else 'uncapped'}")
    for figure in (bare, bare_computed, crawls, computed):
        figure.show()
    ratio("crawl / bare nmap", crawls, bare).show(Target(most))
    for figure in memory.values():
        figure.show(Target(MOST_MEMORY) if figure.name.endswith("process") else None)


if __name__ == "__main__":
    main()
