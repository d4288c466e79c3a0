"""What measuring a fleet costs: each message, the rings in Redis, the roll-up, the charts and Prometheus."""

import json

from .tools import watch
from .tools.report import Figure, Target, begin, section
from .tools.server import PYTHON, server

HOSTS, DOMAINS = 1000, 20
# Messages of each host: twelve minutes, so that two times of five have ended.
ROUNDS = 24
MEAN_OF_A_DAY, HOURS_OF_30_DAYS = 288, 720
MOST_MESSAGE = 3.0
MOST_RING = {"coarse": 6.0, "fine": 8.0}


def main() -> None:
    runs = begin(
        "metrics", f"{HOSTS:,} hosts with {DOMAINS} domains each that are measured", runs=1, root=False
    )
    figures: dict[str, Figure] = {}

    def add(name: str, unit: str, value: float, digits: int = 2) -> None:
        figures.setdefault(name, Figure(name, unit, digits)).add(value)

    for _ in range(runs):
        with server() as ours:
            arguments = (str(HOSTS), str(DOMAINS), str(ROUNDS))
            command = [PYTHON, "-m", "benchmarks.tools.measurer", *arguments]
            run = watch.run(command, environment=ours.environment)
            told = json.loads(run.output)
        add("message: processor time, of 20 domains", "ms", 1000 * told["message"])
        add("message: the same, while somebody looks", "ms", 1000 * told["looked_at"])
        for ring, size in told["ring_bytes"].items():
            add(f"ring: {ring}, full, of one domain", "KiB", size / 1024)
        add("history: bytes of one mean of one domain", "B", told["history_bytes"], 1)
        kept = told["history_bytes"] * (MEAN_OF_A_DAY + HOURS_OF_30_DAYS)
        add("history: a day and 30 days of one domain", "KiB", kept / 1024, 1)
        add("roll-up: two times of all domains", "s", told["roll_up"])
        add("chart: the last hour", "ms", 1000 * sorted(told["hour"])[len(told["hour"]) // 2])
        add("chart: the last day", "ms", 1000 * sorted(told["day"])[len(told["day"]) // 2])
        add("sparklines of 100 rows", "ms", 1000 * sorted(told["sparklines"])[len(told["sparklines"]) // 2])
        add("prometheus: read", "s", told["prometheus_read"])
        add("prometheus: read and written", "s", told["prometheus"])
        add("prometheus: text", "MB", told["prometheus_bytes"] / 1e6, 1)
        add("memory: peak of the process", "MB", run.own_peak / watch.MEBIBYTE, 1)
    show(figures)


def show(figures: dict[str, Figure]) -> None:
    section(f"{HOSTS * DOMAINS:,} domains")
    for name, figure in figures.items():
        ring = name.removeprefix("ring: ").partition(",")[0]
        most = MOST_MESSAGE if name.startswith("message") else MOST_RING.get(ring)
        figure.show(Target(most) if most else None)


if __name__ == "__main__":
    main()
