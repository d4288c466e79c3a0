"""Threads for what waits for the database, for Redis, or for a host."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from django.db import DatabaseError, connections

Result = TypeVar("Result")
Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class Threads:
    """Some threads, each with a database connection that it keeps while that works.

    They are daemons: a host that hangs in one of them does not hold up the end of the process, as it would in
    a ThreadPoolExecutor.
    """

    def __init__(self, count: int, name: str) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, function: Callable[..., Result], *arguments: Any, **named: Any) -> Result:
        """Return what the function returns, or raise what it raises. Cancelled, it is left to itself."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._jobs.put((loop, future, partial(function, *arguments, **named)))
        return await future

    def finish(self) -> None:
        """Let each thread end after the jobs that it was given."""
        for _ in self._threads:
            self._jobs.put(None)

    def join(self, ends_at: float) -> None:
        """Wait for all threads, until `ends_at` of the monotonic clock; after `finish`."""
        for thread in self._threads:
            thread.join(max(0.0, ends_at - time.monotonic()))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            loop, future, function = job
            if future.cancelled():
                continue
            error, result = None, None
            try:
                result = function()
            except Exception as caught:  # noqa: BLE001 -- it is raised again where the result is awaited
                error = caught
                if isinstance(caught, DatabaseError):
                    connections.close_all()
            try:
                loop.call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:
                break  # the loop is closed: nobody waits any more
        connections.close_all()


def _settle(future: "asyncio.Future[Any]", result: object, error: Exception | None) -> None:
    if future.done():
        return  # cancelled
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
