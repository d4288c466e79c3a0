"""Which operation may begin: one at a time of each target, in the order of their coming, and not too many.

Who is ``urgent`` waits behind no other of its target. Not safe for threads: the runner has a lock.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, Protocol, TypeVar

from virshmanagerd.driver import Line

# libvirtd works on five calls of a connection at a time; more would wait there, out of our sight.
PLACES: Final = 5


class Task(Protocol):
    """What the queues must know of an operation."""

    @property
    def target(self) -> str:
        """What it changes."""

    @property
    def line(self) -> Line:
        """The connection it needs."""

    @property
    def urgent(self) -> bool:
        """Whether it waits behind no other."""


T = TypeVar("T", bound=Task)


class Queues(Generic[T]):
    """The operations that are not over, and the places of each line."""

    def __init__(self, places: int = PLACES) -> None:
        self._free = dict.fromkeys(Line, places)
        self._targets: dict[str, deque[T]] = {}
        self._waiting: dict[T, None] = {}  # in order; a set would forget it
        self._placed: set[T] = set()

    def add(self, task: T, *, begun: bool = False) -> None:
        """Let an operation wait for its turn. One that was `begun` in another life is at work already."""
        if not task.urgent:
            self._targets.setdefault(task.target, deque()).append(task)
        if not begun:
            self._waiting[task] = None

    def take(self) -> list[T]:
        """The operations whose turn it is now; each has a place from now on."""
        taken = []
        for task in list(self._waiting):
            if self._free[task.line] and (task.urgent or self.is_first(task)):
                self._free[task.line] -= 1
                self._placed.add(task)
                del self._waiting[task]
                taken.append(task)
        return taken

    def is_first(self, task: T) -> bool:
        """Whether it waits behind no other of its target."""
        queue = self._targets.get(task.target)
        return not queue or queue[0] is task

    def is_quiet(self, target: str) -> bool:
        """Whether nothing waits for a target, nor is at work on it."""
        return target not in self._targets

    def give_back(self, task: T) -> None:
        """Give its place to others; on its target it stays the one at work."""
        if task in self._placed:
            self._placed.remove(task)
            self._free[task.line] += 1

    def wait_again(self, task: T) -> None:
        """Let one that gave its place back wait for another, still before the others of its target."""
        self._waiting[task] = None

    def remove(self, task: T) -> None:
        """Forget one that is over."""
        self._waiting.pop(task, None)
        self.give_back(task)
        queue = self._targets.get(task.target, deque())
        if task in queue:
            queue.remove(task)
        if not queue:
            self._targets.pop(task.target, None)
