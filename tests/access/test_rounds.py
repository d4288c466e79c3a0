"""Many who ask the same are answered together, and nobody for ever by a database that is silent."""

import asyncio
import threading
from collections.abc import Collection, Iterator
from contextlib import suppress

import pytest
from django.db import InterfaceError, OperationalError

from access import rounds
from access.rounds import Rounds, Unanswered


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "ROUND_SECONDS", 0.01)


class Database:
    """What is read: ten times what was asked. It answers while `answers` is set."""

    def __init__(self) -> None:
        self.asked: list[set[int]] = []
        self.errors: list[Exception] = []
        self.answers = threading.Event()
        self.answers.set()

    def read(self, numbers: Collection[int]) -> dict[int, int]:
        self.asked.append(set(numbers))
        if self.errors:
            raise self.errors.pop()
        self.answers.wait(20)
        return {number: number * 10 for number in numbers}


@pytest.fixture
def database() -> Iterator[Database]:
    found = Database()
    yield found
    found.answers.set()


async def test_who_asks_while_it_is_silent_gets_no_answer_until_it_speaks_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "ANSWER_SECONDS", 0.5)
    asking = Rounds(database.read)
    database.answers.clear()
    for _ in range(2):
        with pytest.raises(Unanswered):
            await asking.next(1)
    assert database.asked == [{1}]  # one thread waits, however many have given up
    monkeypatch.setattr(rounds, "ANSWER_SECONDS", 20)
    database.answers.set()
    assert await asking.next(2) == 20


async def test_errors_are_no_answer(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "ANSWER_SECONDS", 0.2)
    database.errors = [OperationalError("gone")] * 1000
    with pytest.raises(Unanswered):
        await Rounds(database.read).next(1)


@pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("closed")])
async def test_after_an_error_the_next_round_answers(database: Database, error: Exception) -> None:
    database.errors = [error]
    assert await Rounds(database.read).next(1) == 10
    assert database.asked == [{1}, {1}]


async def test_all_who_wait_are_answered_by_one_reading(database: Database) -> None:
    asking = Rounds(database.read)
    for _ in range(3):
        assert await asyncio.gather(*(asking.next(number % 5) for number in range(50))) == [
            number % 5 * 10 for number in range(50)
        ]
    assert database.asked == [{0, 1, 2, 3, 4}] * 3


async def test_of_who_has_left_nothing_is_read(database: Database) -> None:
    asking = Rounds(database.read)
    leaving = asyncio.create_task(asking.next(1))
    staying = asyncio.create_task(asking.next(2))
    await asyncio.sleep(0)
    leaving.cancel()
    with suppress(asyncio.CancelledError):
        await leaving
    assert await staying == 20
    assert database.asked == [{2}]
