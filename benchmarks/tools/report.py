"""How a figure is printed: median and spread of its runs, its reference or target, and the verdict."""

import argparse
import math
import os
import platform
import signal
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime

# nmap and namespaces need it, and nothing here asks for it by itself.
ROOT_NEEDED = "this benchmark makes network namespaces: run it as root"


def begin(name: str, what: str, *, runs: int, root: bool = True) -> int:
    """Read the arguments, say what is measured and on what machine, and return the number of runs."""
    parser = argparse.ArgumentParser(prog=f"script/bench {name}", description=what)
    parser.add_argument("--runs", type=int, default=runs, help=f"how often (default: {runs})")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("at least one run")
    # A benchmark that is asked to end takes everything that it started with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if root and os.geteuid() != 0:
        sys.exit(ROOT_NEEDED)
    say(f"{name}: {what}")
    say(f"  {machine()}; runs: {options.runs}")
    return int(options.runs)


def machine() -> str:
    nmap = subprocess.run(["nmap", "--version"], capture_output=True, text=True, check=False).stdout.split()
    parts = (
        f"{datetime.now(UTC):%Y-%m-%d}",
        f"{os.cpu_count()} cores",
        f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GB",
        f"Linux {platform.release()}",
        f"Python {platform.python_version()}",
        f"nmap {nmap[2] if len(nmap) > 2 else 'missing'}",
        f"load {os.getloadavg()[0]:.1f}",
    )
    return ", ".join(parts)


def say(line: str = "") -> None:
    print(line, flush=True)


def section(title: str) -> None:
    say(f"\n{title} (load {os.getloadavg()[0]:.1f})")


@dataclass(frozen=True)
class Target:
    """A limit: the figure is at most `most`, in the figure's unit."""

    most: float

    def verdict(self, value: float) -> str:
        return "met" if value <= self.most else "MISSED"


@dataclass
class Figure:
    """Something that was measured in several runs."""

    name: str
    unit: str = ""
    digits: int = 2
    values: list[float] = field(default_factory=list)

    def add(self, value: float) -> None:
        self.values.append(value)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def percentile(self, per_cent: int) -> "Figure":
        """The value that so many per cent of the runs do not exceed, as a figure of its own."""
        ranked = sorted(self.values)
        value = ranked[max(0, math.ceil(len(ranked) * per_cent / 100) - 1)]
        return Figure(f"{self.name.partition(',')[0]}, p{per_cent}", self.unit, self.digits, [value])

    def show(self, target: Target | None = None) -> None:
        """Print one line: name, median, spread, and the target with its verdict."""
        unit = f" {self.unit}" if self.unit else ""
        line = f"  {self.name:<52} {self._number(self.median):>10}{unit}"
        if len(self.values) > 1:
            line += f"  ({self._number(min(self.values))} to {self._number(max(self.values))})"
        if target:
            line += f"  at most {self._number(target.most)}{unit}: {target.verdict(self.median)}"
        say(line)

    def _number(self, value: float) -> str:
        return f"{value:,.{self.digits}f}"


def ratio(name: str, figure: Figure, reference: Figure) -> Figure:
    """The quotient of each run and the reference of the same run."""
    quotients = [ours / theirs for ours, theirs in zip(figure.values, reference.values, strict=True)]
    return Figure(name, "x", values=quotients)


def quotient(name: str, figure: Figure, reference: Figure) -> Figure:
    """The quotient of each run and the median of a reference that was not measured as often."""
    return Figure(name, "x", values=[value / reference.median for value in figure.values])
