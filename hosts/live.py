"""Live events: what changed, by type and id, never the data itself.

A browser that hears of a change fetches again what it shows, and the ordinary permission check decides.
Delivery is at most once, so a failure to publish is logged and harms nothing: pages also work by request.

`host.changed`, `domain.changed`, `crawl.changed`, `range.changed` carry our own id of what changed, and go to
the fleet, to its host and to its own page. `domains.changed` carries a host's id: rows came or went, or so
many of it changed at once (more than 50) that lists are fetched as a whole; then `domain.changed` goes only
to the pages of the domains themselves. `operation.changed` carries a UUID. When more than 50 parts of one
operation move at once, it is that operation's, and of each part only the page of its domain hears.
"""

import logging
from collections.abc import Collection
from functools import partial
from typing import Any, Literal, NamedTuple, TypedDict, cast

from channels.layers import get_channel_layer
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.conf import settings
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
GROUPS = (FLEET, CRAWLS, OPERATIONS)
NEWS_KEY = "virshmanager:live:news"
# One number for each group, which is forgotten when nothing was told to it for so long: domains come and go.
SEQUENCE_KEY = "virshmanager:live:sequence:{}"
SEQUENCE_SECONDS = 86400
_layers = cast("dict[str, Any]", settings.CHANNEL_LAYERS)
PREFIX: str = _layers["default"]["CONFIG"]["prefix"]


class Event(TypedDict):
    """A message of a Channels group. `sequence` grows by one for each event of this group.

    `news` is one number for what is told to several groups: who listens to them all tells it once.
    """

    type: Literal["live.event"]
    event: EventType
    id: Id
    group: str
    sequence: int
    news: int


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
    """Publish in two round trips, however much there is: a watcher tells of hundreds of changes a second."""
    groups_of: dict[tuple[EventType, Id], dict[str, None]] = {}
    for event, id_, groups in news:
        groups_of.setdefault((event, id_), {}).update(dict.fromkeys(groups))
    layer = cast("RedisPubSubChannelLayer", get_channel_layer())
    try:
        with get_redis_connection().pipeline(transaction=False) as pipeline:
            pipeline.incrby(NEWS_KEY, len(groups_of))
            told = [(what, group) for what, groups in groups_of.items() for group in groups]
            for _what, group in told:
                pipeline.incr(SEQUENCE_KEY.format(group))
                pipeline.expire(SEQUENCE_KEY.format(group), SEQUENCE_SECONDS)
            last, *answers = pipeline.execute()
            numbers = {what: last - place for place, what in enumerate(groups_of)}
            for (what, group), sequence in zip(told, answers[::2], strict=True):
                message = _message(what, numbers[what], group, sequence)
                # What the layer's own `group_send` does, one message and one round trip at a time.
                pipeline.publish(f"{PREFIX}__group__{group}", layer.serialize(message))
            pipeline.execute()
    except (RedisError, OSError) as error:
        logger.warning("%s live events were not published: %s", len(groups_of), error)


def _message(what: tuple[EventType, Id], news: int, group: str, sequence: int) -> Event:
    event, id_ = what
    return Event(type="live.event", event=event, id=id_, group=group, sequence=sequence, news=news)


def reachable() -> bool:
    try:
        return bool(get_redis_connection().ping())
    except (RedisError, OSError):
        return False
