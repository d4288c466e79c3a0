"""Which hosts this watcher follows: the shards that it has on lease, of all watchers that share a Redis."""

import logging
import math
import time
import uuid
from typing import Final

from django_redis import get_redis_connection
from redis.exceptions import LockError
from redis.lock import Lock

logger = logging.getLogger(__name__)

SHARDS: Final = 64
LEASE_SECONDS: Final = 3
TURN_SECONDS: Final = 1.0
# Who waits for the leases of one that died looks more often.
SHORT_TURN_SECONDS: Final = 0.5
# Redis and we need not count seconds quite alike.
MARGIN_SECONDS: Final = 0.5
WATCHERS_KEY: Final = "virshmanager:watchers"


def shard_of(host_id: int) -> int:
    return host_id % SHARDS


class Leases:
    """A fair share of the shards, each by a lock in Redis that must be renewed. Used by one thread."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        self._locks: dict[int, Lock] = {}
        self._renewed_at = -math.inf
        self._share = SHARDS

    @property
    def sure(self) -> bool:
        """Whether what the last turn returned is held still, whatever happened since then."""
        return time.monotonic() - self._renewed_at < LEASE_SECONDS - MARGIN_SECONDS

    @property
    def short(self) -> bool:
        """Whether there were fewer free shards than a fair share in the last turn."""
        return len(self._locks) < self._share

    def turn(self) -> frozenset[int]:
        """Renew what is held, take what is free, and return what is held now. Every TURN_SECONDS.

        What exceeds a fair share is given back, for a watcher that came. A lease that was lost, as when Redis
        was emptied, is taken anew if nobody else has it. Raises RedisError; then nothing has changed hands.
        """
        begun = time.monotonic()
        share = self._share = math.ceil(SHARDS / self._register())
        lost = [shard for shard, lock in self._locks.items() if not _renew(lock)]
        if lost:
            logger.warning("The leases of shards %s are lost", sorted(lost))
        self._locks = {shard: lock for shard, lock in self._locks.items() if shard not in lost}
        for shard in sorted(self._locks)[share:]:
            _give_back(self._locks.pop(shard))
        for shard in range(SHARDS):
            if len(self._locks) >= share:
                break
            if shard not in self._locks and (lock := _take(shard)):
                self._locks[shard] = lock
        self._renewed_at = begun
        return frozenset(self._locks)

    def end(self) -> None:
        """Give everything back. Raises RedisError; then the leases end by themselves."""
        get_redis_connection().zrem(WATCHERS_KEY, self.id)
        while self._locks:
            _give_back(self._locks.popitem()[1])

    def _register(self) -> int:
        """Say that this watcher is there, and return how many are. By the clock of Redis, which all share."""
        redis = get_redis_connection()
        now = redis.time()[0]
        with redis.pipeline() as pipeline:
            pipeline.zadd(WATCHERS_KEY, {self.id: now})
            pipeline.zremrangebyscore(WATCHERS_KEY, "-inf", now - LEASE_SECONDS)
            pipeline.zcard(WATCHERS_KEY)
            return int(pipeline.execute()[-1])


def _take(shard: int) -> Lock | None:
    lock: Lock = get_redis_connection().lock(
        f"virshmanager:watch:{shard}", timeout=LEASE_SECONDS, blocking=False, thread_local=False
    )
    return lock if lock.acquire() else None


def _renew(lock: Lock) -> bool:
    try:
        return bool(lock.reacquire())
    except LockError:
        # It ran out, or Redis was emptied: whoever comes first has it now.
        return bool(lock.acquire())


def _give_back(lock: Lock) -> None:
    try:
        lock.release()
    except LockError:
        return  # it had run out
