"""Having one host list itself, on its stream: when that is wanted, and from time to time."""

import asyncio
import logging
import random
from typing import Final

from django.utils import timezone

from hosts import services as hosts
from hosts.agent.stream import Stream
from hosts.models import Host

from .asking import Question
from .inbox import Inbox
from .lanes import Lanes
from .threads import Threads
from .writing import Writer

logger = logging.getLogger(__name__)

# The truth, every so often, whatever the events said.
LIST_EVERY: Final = 300.0
LIST_PAUSE: Final = 1.0
LIST_AGAIN: Final = 15.0


class Lister:
    """Lists one host, and stores what it tells; never while its stream is down."""

    def __init__(self, host: Host, inbox: Inbox, *, writer: Writer, keepers: Threads, lanes: Lanes) -> None:
        self.question = Question()
        # Whether the last listing is stored.
        self.listed = False
        self._host, self._inbox = host, inbox
        self._writer, self._keepers, self._lanes = writer, keepers, lanes
        self._stream: Stream | None = None
        self._wanted = asyncio.Event()
        self._doubtful = False

    def want(self) -> None:
        """Have the host listed soon."""
        self._wanted.set()

    def begin(self, stream: Stream) -> None:
        """Ask on this stream from now on."""
        self._stream = stream

    def pause(self) -> None:
        """Ask no more: the stream has ended."""
        self._stream = None
        self.question.give_up()

    async def run(self) -> None:
        while True:
            wait = LIST_EVERY * random.uniform(0.8, 1.2)  # noqa: S311 -- so that hosts fall out of step
            try:
                async with asyncio.timeout(wait):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            if self._stream is not None:
                try:
                    await self._list()
                except Exception:
                    # A defect of ours that one host brings to light: it is listed again, as after a failure.
                    logger.exception("Listing %s failed", self._host.address)
                    self.listed = False
            pause = LIST_PAUSE if self.listed or self._stream is None else LIST_AGAIN
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 -- as above

    async def _list(self) -> None:
        async with self._lanes.list[self._doubtful]:
            try:
                # What was told so far is older than the listing, what comes is newer: it is written after it.
                await self._inbox.hold()
                self._wanted.clear()
                self.listed = await self._have_listed()
            finally:
                self._inbox.release()
                self._writer.notice(self._inbox)
        self._doubtful = not self.listed
        if not self.listed:
            self._wanted.set()

    async def _have_listed(self) -> bool:
        """Have the host tell its listing, and store it; return whether that went well."""
        if self._stream is None or self._inbox.full:
            return False
        asked_at = timezone.now()
        told = await self.question.ask(self._stream)
        if told is None:
            return False
        inbox = self._inbox
        outcome = await self._keepers.run(hosts.keep_listing, inbox.host_id, inbox.generation, told, asked_at)
        return outcome.answered
