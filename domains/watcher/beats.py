"""The sign of life of the watchers, for `/readyz`. Both raise RedisError."""

from typing import Final

from django_redis import get_redis_connection

KEY: Final = "virshmanager:watcher:beat"
LASTS_SECONDS: Final = 20


def note_watcher() -> None:
    """Say that a watcher is at work."""
    get_redis_connection().set(KEY, "1", ex=LASTS_SECONDS)


def watcher_beats() -> bool:
    """Whether any watcher was at work lately."""
    return bool(get_redis_connection().exists(KEY))
