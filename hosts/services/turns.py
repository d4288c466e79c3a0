"""Taking turns at the database."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.db import connection, transaction

_turn = threading.Lock()


@contextmanager
def writing_turn() -> Iterator[None]:
    """A transaction that writes, for work that many threads of one process do at once.

    SQLite lets one connection write at a time, and whoever waits for it sleeps longer and longer, up to 0.1
    s, while nobody writes. So threads wait for each other here instead.
    Inside another transaction, which may hold the database already, nobody waits.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        with transaction.atomic():
            yield
    else:
        with ExitStack() as turn:
            turn.enter_context(_turn)
            with transaction.atomic():
                # What follows the commit, such as telling Redis, may take its time: others write meanwhile.
                transaction.on_commit(turn.close)
                yield
