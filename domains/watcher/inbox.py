"""Events of one host that wait to be written, in their order."""

import asyncio
from collections import deque
from typing import Final

from hosts.events import DomainEvent, Event, HostEvent, OperationEvent

# A host with so much unwritten is not read from: TCP then holds it back.
MOST_EVENTS: Final = 1000
MOST_CHARACTERS: Final = 2 * 2**20
AT_ONCE: Final = 200

WRITTEN: Final = (DomainEvent, OperationEvent)


def changes_something(event: Event) -> bool:
    """Whether there is anything to write of an event by itself."""
    return isinstance(event, WRITTEN) or (isinstance(event, HostEvent) and event.word == "libvirt.down")


class Inbox:
    """Filled by the follower of a host, emptied by the writer; both in one event loop.

    While it is held nothing that comes is taken from it: the host is being listed, and its events come after.
    """

    def __init__(self, host_id: int, generation: int) -> None:
        self.host_id = host_id
        self.generation = generation
        self._events: deque[tuple[Event, int]] = deque()
        self._characters = 0
        self._taken = 0
        self._put = self._written = 0
        self._held_at: int | None = None
        self._moved = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether the writer may take something. It takes no more before what it took is written."""
        return self._takeable > 0 and not self._taken

    @property
    def full(self) -> bool:
        """Whether `put` has to wait."""
        return len(self._events) >= MOST_EVENTS or self._characters >= MOST_CHARACTERS

    async def put(self, event: Event, size: int) -> None:
        """Add an event of `size` characters; wait while there is too much."""
        while self.full:
            await self._wait()
        self._events.append((event, size))
        self._characters += size
        self._put += 1

    async def hold(self) -> None:
        """Let no more be taken than there is, and wait until that is written."""
        self._held_at = self._put
        while self._written < self._held_at:
            await self._wait()

    def release(self) -> None:
        self._held_at = None

    def take(self) -> list[Event]:
        """Return the next events, at most AT_ONCE. They stay here until `written`."""
        self._taken = min(self._takeable, AT_ONCE)
        return [self._events[place][0] for place in range(self._taken)]

    def written(self) -> None:
        """Forget what was taken: it is written, or can never be."""
        for _ in range(self._taken):
            self._characters -= self._events.popleft()[1]
        self._written += self._taken
        self._taken = 0
        self._moved.set()

    @property
    def _takeable(self) -> int:
        end = self._put if self._held_at is None else self._held_at
        return end - self._written

    async def _wait(self) -> None:
        self._moved.clear()
        await self._moved.wait()
