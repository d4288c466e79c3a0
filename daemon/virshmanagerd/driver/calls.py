"""Deadlines and limits for libvirt calls, which cannot be cancelled.

A call past its deadline keeps its thread, and its place among the calls in
flight, until it returns. Such lost calls are counted. At the cap only a fresh
process helps: libvirt offers no other way to be rid of them.
"""

from __future__ import annotations

import concurrent.futures
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from virshmanagerd.driver.eventloop import LOOP
from virshmanagerd.driver.pool import Pool
from virshmanagerd.errors import HypervisorBusy, QueueFull

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What one hypervisor is given. Times in seconds."""

    read: float = 5  # one domain, or the host
    extra: float = 2  # what an answer can do without
    bulk: float = 10  # lists and statistics
    bulk_first: float = 4  # of these, for the attempt that may meet a stuck domain
    write: float = 60  # a change; saving and restoring take as long as they take
    open: float = 30
    patience: float = 0.5  # for a connection that is just being opened
    in_flight: int = 15  # libvirtd has 20 workers; a 16th call is kept for force-off and abort
    waiting: int = 16  # callers that wait for a place
    lost: int = 8
    guests: int = 4  # calls that guests' own processes are asked in; all of them may be lost
    retry_first: float = 0.5
    retry_last: float = 15


class CallLost(HypervisorBusy):
    """The call is past its deadline and still runs."""

    def __init__(self, call: Future[Any]) -> None:
        super().__init__("libvirt did not answer within the deadline")
        self._call = call

    def when_returned(self, action: Callable[[], None]) -> None:
        """Call `action`, which must not wait, when the call returns after all; at once if it has."""
        self._call.add_done_callback(lambda _: action())


class Calls:
    """Runs the calls of one driver, each under a deadline."""

    def __init__(self, pool: Pool, limits: Limits, on_exhausted: Callable[[], None]) -> None:
        self._pool = pool
        self._limits = limits
        self._on_exhausted = on_exhausted
        self._callers = threading.BoundedSemaphore(limits.in_flight + limits.waiting)
        self._places = threading.BoundedSemaphore(limits.in_flight)
        self._lost = 0
        self._lock = threading.Lock()

    def run(self, work: Callable[[], T], seconds: float) -> T:
        """The result of `work`, or its exception.

        Raises QueueFull when it could not begin, and CallLost when it did not end in time.
        """
        if not self._callers.acquire(blocking=False):
            raise QueueFull("too many requests wait for libvirt")
        try:
            return self._run(work, time.monotonic() + seconds)
        finally:
            self._callers.release()

    @property
    def lost(self) -> int:
        """How many calls are past their deadline and still run."""
        return self._lost

    def start(self, work: Callable[[], T]) -> Future[T]:
        """Begin `work`, which nobody waits for; see `lose`."""
        return self._pool.submit(work)

    def in_time(self, work: Callable[[], T], seconds: float | None, lost: Callable[[], None]) -> T:
        """The result of `work`, called on this thread of the pool, however long it takes.

        Past `seconds` it counts as lost until it returns, and `lost` is called on another thread.
        """
        running: Future[None] = Future()
        timer = None if seconds is None else LOOP.call_later(seconds, partial(self._overdue, running, lost))
        try:
            return work()
        finally:
            running.set_result(None)
            if timer is not None:
                timer.cancel()

    def lose(self, future: Future[Any]) -> None:
        """Give up a running call."""
        with self._lock:
            self._lost += 1
            exhausted = self._lost >= self._limits.lost
        self._pool.write_off(future)
        future.add_done_callback(self._found)
        if exhausted:
            self._on_exhausted()

    def _run(self, work: Callable[[], T], end: float) -> T:
        if not self._places.acquire(timeout=max(0, end - time.monotonic())):
            raise QueueFull("too many calls to libvirt are in flight")
        future = self._pool.submit(work)
        future.add_done_callback(lambda _: self._places.release())
        concurrent.futures.wait([future], max(0, end - time.monotonic()))
        if future.cancel():
            raise QueueFull("no thread was free for the call")
        if not future.done():
            self.lose(future)
            raise CallLost(future)
        return future.result()

    def _overdue(self, running: Future[None], lost: Callable[[], None]) -> None:
        if not running.done():
            self.lose(running)
            lost()

    def _found(self, _future: Future[Any]) -> None:
        with self._lock:
            self._lost -= 1


def exit_process() -> None:
    """End this process at once. The master process starts a fresh one."""
    log.critical("too many libvirt calls never returned: this process ends, a fresh one begins")
    os._exit(70)  # EX_SOFTWARE; an orderly exit could wait for the lost threads
