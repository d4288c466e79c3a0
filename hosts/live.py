"""Live events: what changed, by type and id, never the data itself.

A browser that hears of a change fetches again what it shows, and the ordinary permission check decides.
Delivery is at most once, so a failure to publish is logged and harms nothing: pages also work by request.
"""

import asyncio
import logging
import threading
from collections.abc import Collection
from functools import cache, partial
from typing import Literal, NamedTuple, TypedDict, cast

from channels.layers import BaseChannelLayer, get_channel_layer
from django.db import transaction
from django_redis import get_redis_connection
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

EventType = Literal[
    "host.changed",
    "domain.changed",
    "domains.changed",
    "operation.changed",
    "crawl.changed",
    "range.changed",
]
# An operation's is its UUID as text, all others are numbers.
Id = int | str
FLEET = "fleet"
CRAWLS = "crawls"
OPERATIONS = "operations"
GROUPS = (FLEET, CRAWLS)
SEQUENCE_KEY = "virshmanager:live:sequence"
# The layer itself knows no deadline: a Redis that hangs must not hold up what is published from.
SEND_SECONDS = 10

_starting = threading.Lock()


class Event(TypedDict):
    """A message of a Channels group. `sequence` grows by one for each event of this group."""

    type: Literal["live.event"]
    event: EventType
    id: Id
    group: str
    sequence: int


class News(NamedTuple):
    """What happened to the object `id`, and the groups that hear of it."""

    event: EventType
    id: Id
    groups: tuple[str, ...]


def publish(event: EventType, id: Id, *groups: str) -> None:  # noqa: A002 -- the field's name on the wire
    """Tell `groups` (default: the fleet) after the running transaction has been committed."""
    publish_all([News(event, id, groups or (FLEET,))])


def publish_all(news: Collection[News]) -> None:
    """As `publish`, of many at once: a listing may change thousands of domains."""
    if news:
        transaction.on_commit(partial(_send, news))


def _send(news: Collection[News]) -> None:
    told = [(item, group) for item in news for group in item.groups]
    try:
        with get_redis_connection().pipeline(transaction=False) as pipeline:
            for _item, group in told:
                pipeline.hincrby(SEQUENCE_KEY, group, 1)
            sequences = pipeline.execute()
        messages = [
            Event(type="live.event", event=item.event, id=item.id, group=group, sequence=sequence)
            for (item, group), sequence in zip(told, sequences, strict=True)
        ]
        sending = asyncio.wait_for(_send_all(messages), SEND_SECONDS)
        asyncio.run_coroutine_threadsafe(sending, _loop()).result()
    except (RedisError, OSError) as error:
        logger.warning("%s live events were not published: %s", len(told), error)


def _loop() -> asyncio.AbstractEventLoop:
    """The event loop of this process that sends: each loop of its own costs a connection to Redis."""
    with _starting:
        return _started_loop()


@cache
def _started_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="live", daemon=True).start()
    return loop


async def _send_all(messages: list[Event]) -> None:
    layer = cast("BaseChannelLayer", get_channel_layer())
    for message in messages:
        await layer.group_send(message["group"], dict(message))


def reachable() -> bool:
    try:
        return bool(get_redis_connection().ping())
    except (RedisError, OSError):
        return False
