"""Threads that keep a connection to the database as long as they live: opening one costs half a probe."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper


@contextmanager
def database_threads(count: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Give a pool of threads; at the end all its work is awaited, and the connections are closed."""
    opened: list[BaseDatabaseWrapper] = []

    def note() -> None:
        own = connections[DEFAULT_DB_ALIAS]
        # A thread of a pool ends unseen: what it opened is closed from here.
        own.inc_thread_sharing()
        opened.append(own)

    try:
        with ThreadPoolExecutor(count, name, initializer=note) as pool:
            yield pool
    finally:
        for own in opened:
            own.close()
