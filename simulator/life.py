"""What happens on simulated hosts by itself: guests are paused and go on, so many in a second.

SIGUSR1 to the simulator switches it on and off. Each change is noted in a file, with the time before it.
"""

import random
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from virshmanagerd.driver import Driver, Line, writing

# virDomainState in words: what pausing and going on is possible in.
RUNNING, PAUSED = "running", "paused"


@dataclass
class Guest:
    """A domain that is active."""

    driver: Driver
    uuid: str
    running: bool

    def turn(self) -> None:
        """Pause it, or let it go on."""
        change = writing.suspend if self.running else writing.resume
        change(self.driver.session(Line.WRITE), self.uuid)
        self.running = not self.running


class Life:
    """Turns the guests of some hosts, one after another, `rate` in a second while it is on."""

    def __init__(self, drivers: Sequence[Driver], rate: float, notes: Path) -> None:
        self._drivers = drivers
        self._pause = 1 / rate
        self._notes = notes
        self._on = threading.Event()

    def start(self) -> None:
        """Begin, switched off, in a thread of the daemon kind that lives until the process ends."""
        threading.Thread(target=self._live, name="life", daemon=True).start()

    def switch(self) -> None:
        """Switch it on, or off. Safe in signal handlers."""
        if self._on.is_set():
            self._on.clear()
        else:
            self._on.set()

    def _live(self) -> None:
        self._on.wait()
        with self._notes.open("a", buffering=1) as notes:
            due = time.monotonic()
            for guest in endless(self._guests()):
                if not self._on.is_set():
                    self._on.wait()
                    due = time.monotonic()
                _turn(guest, notes)
                due += self._pause
                time.sleep(max(0, due - time.monotonic()))

    def _guests(self) -> list[Guest]:
        found = [
            Guest(driver, domain["uuid"], domain["state"] == RUNNING)
            for driver in self._drivers
            for domain in driver.domains()["domains"]
            if domain["state"] in {RUNNING, PAUSED}
        ]
        random.shuffle(found)
        return found


def _turn(guest: Guest, notes: TextIO) -> None:
    at = time.time()
    guest.turn()
    notes.write(f"{guest.uuid} {at}\n")


def endless(guests: Iterable[Guest]) -> Iterator[Guest]:
    """All of them in turn, again and again; none at all if there are none."""
    kept = list(guests)
    while kept:
        yield from kept
