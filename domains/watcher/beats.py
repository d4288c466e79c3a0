"""What watchers tell of themselves: that they work, for `/readyz`, and what they heard, for `/metrics`.

Both `note_watcher` and `watcher_beats` raise RedisError. When Redis is emptied counting begins anew.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from django_redis import get_redis_connection

from hosts.events import DomainEvent, Event, HostEvent, OperationEvent, Stats

KEY: Final = "virshmanager:watcher:beat"
LASTS_SECONDS: Final = 20
# A hash: how many messages of each kind all watchers heard.
HEARD_KEY: Final = "virshmanager:watcher:heard"
KINDS: Final[Mapping[type[Event | Stats], str]] = {
    DomainEvent: "domain",
    OperationEvent: "operation",
    HostEvent: "host",
    Stats: "stats",
}

# Each is written by one thread alone, and never goes back: so none has to wait for the other.
_heard: Final = Counter[type[Event | Stats]]()
_told: Final = Counter[type[Event | Stats]]()


def count(message: Event | Stats) -> None:
    """Count a message that a host told. Costs nothing but an addition: `note_watcher` tells it."""
    _heard[type(message)] += 1


def note_watcher() -> None:
    """Say that a watcher is at work, and what it heard since it last said so, in one round trip."""
    news = _heard.copy() - _told
    with get_redis_connection().pipeline(transaction=False) as pipeline:
        pipeline.set(KEY, "1", ex=LASTS_SECONDS)
        for kind, times in news.items():
            pipeline.hincrby(HEARD_KEY, KINDS[kind], times)
        pipeline.execute()
    _told.update(news)


def watcher_beats() -> bool:
    """Whether any watcher was at work lately."""
    return bool(get_redis_connection().exists(KEY))
