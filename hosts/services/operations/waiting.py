"""Waiting for an operation's end: Redis wakes, SQL decides. Without Redis it is looked at now and then."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from django.utils import timezone
from django_redis import get_redis_connection
from redis.client import PubSub
from redis.exceptions import RedisError

from ...models import Operation
from .accepting import wake_carriers
from .carrying import carry, is_doubtful
from .moves import announce, channel_of

Bell = Callable[[float], object]
Demand = Callable[[Operation], None]

# Each waits in a thread of its own, with a connection to the database.
WAITING_AT_ONCE: Final = 40
LOOK_SECONDS: Final = 1.0
LOOK_WITHOUT_REDIS_SECONDS: Final = 0.2

_room = threading.BoundedSemaphore(WAITING_AT_ONCE)


def wait_for(operation: Operation, seconds: float, demand: Demand | None = None) -> Operation:
    """Wait until an operation has its verdict, `seconds` at most, and return it as it is then.

    `demand` is called every second. It raises when the caller may not see the operation any more, which ends
    the waiting.

    Who waits carries, too: no worker has to be woken. A host that is likely to hang is left to workers, and
    so is everything when too many wait already; then the operation is returned at once.
    """
    if not _room.acquire(blocking=False):
        _leave_to_workers(operation)
        return operation
    try:
        return _see_through(operation, time.monotonic() + seconds, demand)
    finally:
        _room.release()


def _see_through(operation: Operation, ends_at: float, demand: Demand | None) -> Operation:
    demanded_at = time.monotonic()
    here = operation.host is not None and not is_doubtful(operation.host)
    if not here:
        _leave_to_workers(operation)
    elif operation.due_at <= timezone.now():
        here = carry(operation.pk, within=_left(ends_at), known=operation)
    # Only now, so that the host waits for nothing: what moved before is seen by the first look.
    with _bell(operation.pk) as bell:
        while True:
            operation = Operation.objects.get(pk=operation.pk)
            now = time.monotonic()
            if demand and now - demanded_at >= LOOK_SECONDS:
                demand(operation)
                demanded_at = now
            left = ends_at - now
            if not operation.is_open or left <= 0:
                return operation
            due_in = (operation.due_at - timezone.now()).total_seconds() if here else LOOK_SECONDS
            bell(max(0.0, min(left, due_in, LOOK_SECONDS)))
            if here and operation.due_at <= timezone.now():
                here = carry(operation.pk, within=_left(ends_at))


def _left(ends_at: float) -> float:
    return max(ends_at - time.monotonic(), 0.1)


def _leave_to_workers(operation: Operation) -> None:
    if operation.host_id and operation.is_open:
        announce([operation])
        wake_carriers([operation.host_id])


@contextmanager
def _bell(operation_id: UUID) -> Iterator[Bell]:
    """Give a function that waits until the operation moved, or for so many seconds."""
    pubsub = _subscribed(operation_id)
    try:
        yield _pause if pubsub is None else _Listening(pubsub)
    finally:
        if pubsub is not None:
            pubsub.close()


def _subscribed(operation_id: UUID) -> PubSub | None:
    try:
        pubsub: PubSub = get_redis_connection().pubsub(ignore_subscribe_messages=True)
        pubsub.subscribe(channel_of(operation_id))
    except (RedisError, OSError):
        return None
    return pubsub


def _pause(seconds: float) -> None:
    threading.Event().wait(min(seconds, LOOK_WITHOUT_REDIS_SECONDS))


class _Listening:
    """Waits for a message; when Redis goes, for a moment."""

    def __init__(self, pubsub: PubSub) -> None:
        self._pubsub = pubsub

    def __call__(self, seconds: float) -> None:
        try:
            self._pubsub.get_message(timeout=seconds)
        except (RedisError, OSError):
            _pause(seconds)
