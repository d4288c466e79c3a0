"""Threads for libvirt calls, shared by all drivers of the process.

Not `ThreadPoolExecutor`: that one waits at exit for every thread, and a libvirt
call may never return. These are daemon threads, and a thread that is written
off is replaced by another.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)


class Pool:
    """At most `size` threads, besides those written off, made when they are needed."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._threads = 0
        self._idle = 0
        self._tasks: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._changed = threading.Condition()

    @property
    def threads(self) -> int:
        """How many threads there are now."""
        return self._threads

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run `work` on a thread; the future holds its result or its exception."""
        future: Future[T] = Future()
        with self._changed:
            self._tasks.append((future, work))
            if self._idle < len(self._tasks) and self._threads < self._size:
                self._grow()
            self._changed.notify()
        return future

    def write_off(self, future: Future[Any]) -> None:
        """Count the thread that runs `future` as lost, until its call returns after all."""
        self._resize(+1)
        future.add_done_callback(lambda _: self._resize(-1))

    def _resize(self, difference: int) -> None:
        with self._changed:
            self._size += difference
            if self._tasks and self._threads < self._size:
                self._grow()

    def _grow(self) -> None:
        try:
            threading.Thread(target=self._serve, name="libvirt-call", daemon=True).start()
        except RuntimeError as error:  # the next task tries it again, and has a thread take this one too
            log.error("the system gives no thread: %s", error)
        else:
            self._threads += 1

    def _serve(self) -> None:
        while (task := self._next()) is not None:
            _run(*task)
            del task  # an idle thread must not keep a connection alive

    def _next(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._tasks or self._threads > self._size)
            self._idle -= 1
            if self._threads > self._size:
                self._threads -= 1
                self._changed.notify()  # the task that woke this thread is for another one
                return None
            return self._tasks.popleft()


def _run(future: Future[Any], work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for the future
        future.set_exception(error)
    else:
        future.set_result(result)
