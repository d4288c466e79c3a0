"""What happens at once, in threads, as in service: each ends its database connection, and none is left."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection

Work = Callable[[], object]
JOIN_SECONDS = 60.0


@contextmanager
def meanwhile(*works: Work) -> Iterator[None]:
    """Do all of it while the block runs, and wait for it in the end."""

    def work_and_close(work: Work) -> None:
        try:
            work()
        finally:
            connection.close()

    threads = [threading.Thread(target=work_and_close, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join(JOIN_SECONDS)
    assert not any(thread.is_alive() for thread in threads)


def together(*works: Work) -> None:
    """Do all of it at once, and wait for it."""
    with meanwhile(*works):
        pass
