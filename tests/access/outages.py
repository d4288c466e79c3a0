"""A database that is gone for a while."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from django.db import OperationalError
from django.db.backends.utils import CursorWrapper


@contextmanager
def database_that(how: str) -> Iterator[None]:
    """It `hangs`, and answers in the end, or `fails` at once."""
    answers = threading.Event()
    really = CursorWrapper.execute

    def execute(*said: Any) -> Any:
        if how == "fails":
            raise OperationalError("gone")
        answers.wait(20)
        return really(*said)

    with patch.object(CursorWrapper, "execute", execute):
        try:
            yield
        finally:
            answers.set()
