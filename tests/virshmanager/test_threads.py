"""Threads that answer requests: one for each, and kept for the next."""

import asyncio
import inspect
import threading
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.http import HttpRequest, HttpResponse
from django.urls import path

from virshmanager import threads
from virshmanager.threads import OnKeptThreads, WholeOnThread

SECONDS = 10


async def application(work: Callable[[], object], *_: Any) -> None:
    await sync_to_async(work)()


class Waiting:
    """Work that lasts until it is let go; it tells its thread."""

    def __init__(self) -> None:
        self.begun, self.over = threading.Event(), threading.Event()
        self.thread = 0

    def __call__(self) -> None:
        self.thread = threading.get_ident()
        self.begun.set()
        assert self.over.wait(SECONDS)


async def begun(work: Waiting) -> None:
    assert await asyncio.to_thread(work.begun.wait, SECONDS)


def test_who_hung_up_holds_up_nobody() -> None:
    async def scenario() -> None:
        kept = OnKeptThreads(application)
        left, next_one = Waiting(), Waiting()
        request = asyncio.create_task(kept(left))
        await begun(left)
        request.cancel()
        next_one.over.set()
        async with asyncio.timeout(SECONDS):
            await kept(next_one)
        left.over.set()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert left.thread != next_one.thread

    asyncio.run(scenario())


def test_of_two_at_once_each_has_a_thread_and_one_after_the_other_share_one() -> None:
    async def scenario() -> None:
        kept = OnKeptThreads(application)
        first, second, third = Waiting(), Waiting(), Waiting()
        requests = [asyncio.create_task(kept(work)) for work in (first, second)]
        for work in (first, second):
            await begun(work)
            work.over.set()
        await asyncio.gather(*requests)
        third.over.set()
        await until(lambda: kept.idle == 2)
        await kept(third)
        assert first.thread != second.thread
        assert third.thread in {first.thread, second.thread}

    asyncio.run(scenario())


@pytest.mark.django_db
def test_no_more_are_kept_than_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "MOST_KEPT", 1)

    async def scenario() -> None:
        kept = OnKeptThreads(application)
        works = [Waiting() for _ in range(3)]
        requests = [asyncio.create_task(kept(work)) for work in works]
        for work in works:
            await begun(work)
            work.over.set()
        await asyncio.gather(*requests)
        alive = {work.thread for work in works}
        await until(lambda: len(alive & {thread.ident for thread in threading.enumerate()}) == 1)
        assert kept.idle == 1

    asyncio.run(scenario())


class Outer:
    """A middleware that notes the modules between its call and the view's."""

    between: ClassVar[set[str]] = set()

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)


def inner(_request: HttpRequest) -> HttpResponse:
    callers = [frame.frame.f_globals["__name__"] for frame in inspect.stack(0)[1:]]
    Outer.between = set(callers[: callers.index(__name__)])
    return HttpResponse("inner")


def failing(_request: HttpRequest) -> HttpResponse:
    raise RuntimeError("on purpose")


urlpatterns = [path("inner/", inner), path("failing/", failing)]


@pytest.fixture
def answer(settings: Any) -> Callable[[str], tuple[int, bytes]]:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [f"{__name__}.Outer"]

    async def ask(address: str) -> tuple[int, bytes]:
        scope = {"type": "http", "method": "GET", "path": address, "query_string": b"", "headers": []}
        server: Any = ApplicationCommunicator(OnKeptThreads(WholeOnThread()), scope)  # type: ignore[no-untyped-call]
        await server.send_input({"type": "http.request"})
        head, body = await server.receive_output(SECONDS), await server.receive_output(SECONDS)
        await server.wait(SECONDS)
        return head["status"], body["body"]

    return lambda address: asyncio.run(ask(address))


@pytest.mark.django_db
def test_a_view_is_called_by_the_middleware_and_not_by_the_event_loop(
    answer: Callable[[str], tuple[int, bytes]],
) -> None:
    Outer.between = set()
    assert answer("/inner/") == (200, b"inner")
    assert "django.core.handlers.base" in Outer.between
    assert not {name for name in Outer.between if name.startswith("asgiref")}


@pytest.mark.django_db
def test_what_fails_there_is_answered(answer: Callable[[str], tuple[int, bytes]]) -> None:
    assert answer("/failing/")[0] == 500


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.01)
