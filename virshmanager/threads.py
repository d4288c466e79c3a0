"""Threads that answer HTTP requests, kept from one request to the next with their connection to the database.

Django's handler has a thread of its own for each request, and so a connection: to open one, and with SQLite
to read the whole schema again, takes longer than most requests.
"""

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.db import connections
from django.http import HttpRequest, HttpResponseBase

# More are made while more are needed.
MOST_KEPT: Final = 8

Application = Callable[..., Awaitable[Any]]


class WholeOnThread(ASGIHandler):
    """Django's handler, but middleware and view are called as one, on the request's thread.

    Its own changes over to the event loop and back for each part, so that a view could be asynchronous.
    """

    def load_middleware(self, is_async: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 -- Django's
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        return await sync_to_async(self.get_response)(request)


class OnKeptThreads:
    """An ASGI application each of whose requests has one thread to itself, for as long as it lasts."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._idle: list[ThreadPoolExecutor] = []

    @property
    def idle(self) -> int:
        """How many threads wait for a request."""
        return len(self._idle)

    async def __call__(self, *request: Any) -> None:
        # The last one that came back: what it needs is still in the processor's caches.
        thread = self._idle.pop() if self._idle else ThreadPoolExecutor(max_workers=1)
        try:
            async with ThreadSensitiveContext(executor=thread):
                await self._application(*request)
        finally:
            # Whoever hangs up leaves his thread at work: it comes back after that.
            thread.submit(self._keep, thread)

    def _keep(self, thread: ThreadPoolExecutor) -> None:
        if self.idle < MOST_KEPT:
            self._idle.append(thread)
        else:
            connections.close_all()
            thread.shutdown(wait=False)
