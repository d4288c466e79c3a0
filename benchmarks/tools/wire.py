"""Packets on a wire, counted by the interface: what a crawl really sends, whoever of it sends."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

from tests.networks import Namespace

EVERY_SECONDS = 1.0


@dataclass
class Meter:
    """Counter readings of an interface, each with its time."""

    readings: list[tuple[float, int]] = field(default_factory=list)

    @property
    def packets(self) -> int:
        return self.readings[-1][1] - self.readings[0][1]

    @property
    def busiest_second(self) -> float:
        """The highest rate between two readings, in packets per second."""
        return max((later[1] - now[1]) / (later[0] - now[0]) for now, later in pairwise(self.readings))


@contextmanager
def metered(namespace: Namespace) -> Iterator[Meter]:
    """Read the packets that a namespace sends, each second, for as long as the block lasts."""
    meter = Meter()
    over = threading.Event()

    def read() -> None:
        meter.readings.append((time.monotonic(), namespace.sent_packets()))

    def watch() -> None:
        while not over.wait(EVERY_SECONDS):
            read()

    read()
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield meter
    finally:
        over.set()
        thread.join()
        read()
