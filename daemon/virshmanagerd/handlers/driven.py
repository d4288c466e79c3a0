"""What handlers that ask the driver have in common."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from virshmanagerd.errors import DriverError
from virshmanagerd.web import Problem, Request

if TYPE_CHECKING:
    from virshmanagerd.daemon import Daemon

T = TypeVar("T")


def asks_driver(handler: Callable[[Daemon, Request], T]) -> Callable[[Daemon, Request], T]:
    """Answer the driver's errors as problems."""

    @functools.wraps(handler)
    def answer(daemon: Daemon, request: Request) -> T:
        try:
            return handler(daemon, request)
        except DriverError as error:
            raise problem_of(error) from None

    return answer


def problem_of(error: DriverError) -> Problem:
    """Return the problem that an error of the driver is answered as."""
    wait = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return Problem(error.type, error.status, error.detail, wait)
