"""What many ask about again and again, read for all of them together in one round a second."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Generic, TypeVar

import django.db
from channels.db import database_sync_to_async

ROUND_SECONDS: Final = 1.0
# Without the database nobody is told anything for so long; then who asks has to do without.
ANSWER_SECONDS: Final = 5.0

logger = logging.getLogger(__name__)

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Unanswered(Exception):
    """The database did not say it in time."""


class Rounds(Generic[Asked, Answer]):
    """Answers all who wait, by one call of `read`; there is no round while nobody waits.

    `read` answers each that it is asked about, in a number of queries that does not grow with them.
    """

    def __init__(self, read: Callable[[Collection[Asked]], Mapping[Asked, Answer]]) -> None:
        # A thread of its own: it does not queue behind what each socket asks the database.
        thread = ThreadPoolExecutor(max_workers=1)
        self._read = database_sync_to_async(read, thread_sensitive=False, executor=thread)
        self._waiting: dict[asyncio.Future[Answer], Asked] = {}
        self._going: asyncio.Task[None] | None = None

    async def next(self, asked: Asked) -> Answer:
        """What the next round reads of this. Raises Unanswered."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[Answer] = loop.create_future()
        self._waiting[waiting] = asked
        if self._going is None or self._going.done():
            self._going = loop.create_task(self._go())
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await waiting
        except TimeoutError:
            raise Unanswered from None
        finally:
            self._waiting.pop(waiting, None)

    async def _go(self) -> None:
        await asyncio.sleep(ROUND_SECONDS)
        while self._waiting:
            await self._round()
            await asyncio.sleep(ROUND_SECONDS)

    async def _round(self) -> None:
        """Answer those who wait now. After an error they wait for the next round, while their time lasts."""
        asking = dict(self._waiting)
        try:
            answers = await self._read(set(asking.values()))
        except django.db.Error as error:
            logger.warning("The database did not answer: %s", error)
            return
        for waiting, asked in asking.items():
            if not waiting.done():  # its time was over
                waiting.set_result(answers[asked])
