"""Live events: what changed, by type and id, never the data itself.

A browser that hears of a change fetches again what it shows, and the ordinary permission check decides.
Delivery is at most once, so a failure to publish is logged and harms nothing: pages also work by request.
"""

import logging
from typing import Literal, TypedDict, cast

from asgiref.sync import async_to_sync
from channels.layers import BaseChannelLayer, get_channel_layer
from django.db import transaction
from django_redis import get_redis_connection
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

EventType = Literal["host.changed", "domain.changed", "domains.changed", "crawl.changed", "range.changed"]
FLEET = "fleet"
CRAWLS = "crawls"
GROUPS = (FLEET, CRAWLS)
SEQUENCE_KEY = "virshmanager:live:sequence"


class Event(TypedDict):
    """A message of a Channels group. `sequence` grows by one for each event of this group."""

    type: Literal["live.event"]
    event: EventType
    id: int
    group: str
    sequence: int


def publish(event: EventType, id: int, *groups: str) -> None:  # noqa: A002 -- the field's name on the wire
    """Tell `groups` (default: the fleet) after the running transaction has been committed."""
    transaction.on_commit(lambda: _send(event, id, groups or (FLEET,)))


def _send(event: EventType, id: int, groups: tuple[str, ...]) -> None:  # noqa: A002
    try:
        redis = get_redis_connection()
        async_to_sync(_send_all)(
            [
                Event(
                    type="live.event",
                    event=event,
                    id=id,
                    group=group,
                    sequence=int(redis.hincrby(SEQUENCE_KEY, group, 1)),
                )
                for group in groups
            ]
        )
    except (RedisError, OSError) as error:
        logger.warning("Live event %s %s was not published: %s", event, id, error)


async def _send_all(messages: list[Event]) -> None:
    """Send all in one event loop: each loop of its own costs a connection to Redis."""
    layer = cast("BaseChannelLayer", get_channel_layer())
    for message in messages:
        await layer.group_send(message["group"], dict(message))


def reachable() -> bool:
    try:
        return bool(get_redis_connection().ping())
    except (RedisError, OSError):
        return False
