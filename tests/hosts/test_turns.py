"""Turns at the database: how long one lasts."""

import threading
from collections.abc import Callable

import pytest
from django.db import connection, transaction

from hosts.services.turns import writing_turn

pytestmark = pytest.mark.django_db(transaction=True)


def in_another_thread(work: Callable[[], object]) -> bool:
    """Whether somebody else can do this within a second."""
    done = threading.Event()

    def do() -> None:
        try:
            work()
        finally:
            connection.close()
        done.set()

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    return done.wait(1)


def take_a_turn() -> None:
    with writing_turn():
        pass


def test_what_follows_the_commit_holds_up_nobody() -> None:
    """Above all telling Redis, which may hang: others write meanwhile."""
    went_on: list[bool] = []
    with writing_turn():
        transaction.on_commit(lambda: went_on.append(in_another_thread(take_a_turn)))
    assert went_on == [True]


def test_a_turn_that_failed_is_over() -> None:
    with pytest.raises(RuntimeError), writing_turn():
        raise RuntimeError
    assert in_another_thread(take_a_turn)
