"""The lease that keeps a range's rate: nmap caps only itself, and several may want to run."""

import fcntl
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django_redis import get_redis_connection
from redis.exceptions import LockError, RedisError
from redis.lock import Lock

from ..errors import CrawlEnded, ScanFailed

logger = logging.getLogger(__name__)

LEASE_SECONDS = 15
TURN_SECONDS = 0.1


class RateLease:
    """Held while nmap runs for a capped range, by one process of all that share the Redis.

    Without Redis a lock file in the state folder takes its place: it holds between the processes of this
    machine, and those of other machines cannot work without Redis anyway.
    """

    def __init__(self, range_id: int) -> None:
        self._range_id = range_id
        self._lock: Lock | None = None
        self._lost = False

    def renew(self) -> None:
        """Extend the lease; called every second or so, from any thread."""
        lock = self._lock
        if lock is None:
            return
        try:
            lock.reacquire()
        except LockError:
            # Redis was restarted, or we were stopped for longer than the lease: another may scan already.
            self._lost = self._lock is lock
        except RedisError as error:
            logger.warning("The rate lease of range %s was not renewed: %s", self._range_id, error)

    def check(self) -> None:
        """Raise ScanFailed when the lease was lost."""
        if self._lost:
            raise ScanFailed("rate_unguarded")

    @contextmanager
    def held(self, stopped: Callable[[], bool]) -> Iterator[None]:
        """Wait for the lease, hold it in the block. Raises CrawlEnded when `stopped` says so first."""
        try:
            lock = self._redis_lock(stopped)
        except RedisError as error:
            logger.warning(
                "Without Redis the rate of range %s is kept on this machine only: %s", self._range_id, error
            )
            with self._file_lock(stopped):
                yield
            return
        self._lock = lock
        try:
            yield
        finally:
            self._lock = None
            _release(lock)

    def _redis_lock(self, stopped: Callable[[], bool]) -> Lock:
        lock: Lock = get_redis_connection().lock(
            f"virshmanager:discovery:rate:{self._range_id}",
            timeout=LEASE_SECONDS,
            blocking=False,
            thread_local=False,
        )
        _take_turn(lock.acquire, stopped)
        return lock

    @contextmanager
    def _file_lock(self, stopped: Callable[[], bool]) -> Iterator[None]:
        path = Path(settings.VIRSHMANAGER_HOME) / f"rate-{self._range_id}.lock"
        with path.open("w") as file:
            _take_turn(lambda: _flock(file.fileno()), stopped)
            yield


def _take_turn(acquire: Callable[[], bool], stopped: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not acquire():
        if stopped():
            raise CrawlEnded
        pause.wait(TURN_SECONDS)


def _flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _release(lock: Lock) -> None:
    try:
        lock.release()
    except RedisError as error:
        logger.warning("The rate lease was not given back, and ends by itself: %s", error)
