"""Asking one host for its listing, on the stream that it tells its events on."""

import asyncio
from typing import Any, Final

from hosts.agent.stream import Stream
from hosts.errors import AgentError
from hosts.events import Listing

# The daemon gives libvirt ten seconds for it.
LIST_SECONDS: Final = 15.0


class Question:
    """One listing at a time is awaited, by its number: one that comes after it was given up is no answer."""

    def __init__(self) -> None:
        self._number = 0
        self._answer: asyncio.Future[dict[str, Any] | None] | None = None

    async def ask(self, stream: Stream) -> dict[str, Any] | None:
        """Return what the host lists; None when it does not, or when it is given up."""
        self._number += 1
        self._answer = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(LIST_SECONDS):
                await stream.send(f'{{"type":"list","id":{self._number}}}')
                return await self._answer
        except (TimeoutError, AgentError):
            return None  # whoever reads the stream hears of its end, too
        finally:
            self._answer = None

    def take(self, listing: Listing) -> None:
        """Take what the reader of the stream has read."""
        if listing.id == self._number:
            self._settle(listing.data)

    def give_up(self) -> None:
        """Wait no longer."""
        self._settle(None)

    def _settle(self, data: dict[str, Any] | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(data)
