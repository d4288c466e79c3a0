"""A person at a browser and a terminal, who takes as long as people do."""

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from playwright.sync_api import Locator

# Seconds of the Keystroke-Level Model (Card, Moran and Newell, 1980): a key of somebody who is no typist, a
# key of a code that means nothing, to point with the mouse, to bring the hand to the keys, and to think what
# comes next.
KEY, CODE_KEY, POINT, REACH, THINK = 0.28, 0.75, 1.1, 0.4, 1.35


@dataclass
class Person:
    """Thinks, points and types; `spent` is the sum of that, in seconds, without what the machine takes."""

    spent: float = 0.0

    def clicks(self, what: Locator) -> None:
        self._takes(THINK + POINT)
        what.click()

    def types(self, what: Locator, text: str, *, key: float = KEY) -> None:
        """Point at a field, and type into it key by key."""
        self._takes(THINK + POINT)
        what.click()
        self._takes(REACH + key * len(text))
        what.fill(text)

    def runs(self, command: str, program: Sequence[str]) -> str:
        """Turn to the terminal, type `command` and Return, and read what `program` says in its stead."""
        self._takes(THINK + POINT + REACH + KEY * (len(command) + 1))
        return subprocess.check_output(program, text=True)

    def _takes(self, seconds: float) -> None:
        time.sleep(seconds)
        self.spent += seconds
