"""What an address costs in ranges of growing size, every address up: no cost may outgrow the range."""

from tests.networks import Namespace, dense

from .tools.report import Figure, Target, begin, section
from .tools.server import Server, server
from .tools.watch import MEBIBYTE

NETWORK = "10.78.0.0/16"
PORT = 16510
START = "10.78.0.0/28"
BLOCKS = {"10.78.0.0/20": 2**12, "10.78.0.0/18": 2**14, "10.78.0.0/16": 2**16}
# Where every address is known to be up, `new` has nothing to ask.
PHASES = ("full", "recheck")
# What is called the same cost: the noise of two runs.
MOST_GROWTH = 1.25


def main() -> None:
    runs = begin("growth", "crawls of dense ranges, uncapped; the start of the program is taken off", runs=3)
    with server() as ours, dense(NETWORK) as network:
        for block in (START, *BLOCKS):
            ours.make_range(block, max_rate=None)
        start = Figure("start: a crawl of 16 addresses", "s")
        costs = {
            (phase, block): Figure(f"{block} per address", "µs", 1) for phase in PHASES for block in BLOCKS
        }
        memory = {block: Figure(f"{block} peak memory of the crawl", "MB", 1) for block in BLOCKS}
        for _ in range(runs):
            start.add(crawl(ours, START, "full", network.scanner)[0])
            for block, addresses in BLOCKS.items():
                for phase in PHASES:
                    seconds, peak = crawl(ours, block, phase, network.scanner)
                    costs[phase, block].add(1e6 * (seconds - start.values[-1]) / addresses)
                    if phase == "full":
                        memory[block].add(peak / MEBIBYTE)
                ours.forget()
    section("costs")
    start.show()
    for figure in memory.values():
        figure.show()
    for phase in PHASES:
        show(phase, [costs[phase, block] for block in BLOCKS])


def crawl(ours: Server, block: str, phase: str, inside: Namespace) -> tuple[float, int]:
    """Crawl, and return the seconds that it took and its peak memory in bytes."""
    arguments = (block, "--phase", phase, "--port", str(PORT))
    run, _crawl = ours.crawl(*arguments, inside=inside)
    return run.seconds, run.own_peak


def show(phase: str, figures: list[Figure]) -> None:
    section(phase)
    for smaller, larger in zip([None, *figures], figures, strict=False):
        larger.show(Target(MOST_GROWTH * smaller.median) if smaller else None)


if __name__ == "__main__":
    main()
