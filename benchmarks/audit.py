"""What the audit costs: a recorded request beside the same unrecorded, a read, the chain, the export."""

import json

from .tools import watch
from .tools.report import Figure, Target, begin, section
from .tools.server import PYTHON, server

TIMES, ROWS = 500, 100_000
MOST_MORE, MOST_MORE_OF_A_READ = 1.0, 0.1


def main() -> None:
    runs = begin("audit", "a change by the API, recorded and not, and an audit", runs=TIMES, root=False)
    with server() as ours:
        command = [PYTHON, "-m", "benchmarks.tools.recorder", str(runs), str(ROWS)]
        run = watch.run(command, environment=ours.environment)
        told = json.loads(run.output)
    section("processor time of requests, without a socket")
    compare("PATCH of a range", told["recorded"], told["unrecorded"], MOST_MORE)
    compare("GET of a list", told["read"], told["read_without"], MOST_MORE_OF_A_READ)
    section(f"processor time of {ROWS:,} rows")
    Figure("chain one row", "ms", 3, [1000 * told["chain"]]).show()
    Figure("verify", "s", 1, [told["verify"]]).show()
    Figure("export", "s", 1, [told["export"]]).show()
    Figure("first page of the list", "ms", 1, [1000 * told["page"]]).show()
    Figure("bytes of a row", "B", 0, [told["row_bytes"]]).show()
    Figure("memory: peak of the process", "MB", 1, [run.own_peak / watch.MEBIBYTE]).show()


def compare(name: str, ours: list[float], reference: list[float], most: float) -> None:
    """By turns, so that both had the same machine."""
    recorded = Figure(f"{name}, with the audit", "ms", values=[1000 * each for each in ours])
    unrecorded = Figure(f"{name}, without", "ms", values=[1000 * each for each in reference])
    recorded.show()
    unrecorded.show()
    Figure("more, of the medians", "ms", 2, [recorded.median - unrecorded.median]).show(Target(most))


if __name__ == "__main__":
    main()
