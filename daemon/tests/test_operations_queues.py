"""Whose turn it is."""

from __future__ import annotations

from virshmanagerd.driver import Line
from virshmanagerd.operations.queues import PLACES, Queues


class Task:
    """What queues see."""

    def __init__(self, target: str, line: Line = Line.WRITE, *, urgent: bool = False) -> None:
        self.target, self.line, self.urgent = target, line, urgent


def filled(*tasks: Task, places: int = PLACES) -> Queues[Task]:
    queues: Queues[Task] = Queues(places)
    for task in tasks:
        queues.add(task)
    return queues


def test_nobody_waits_at_first() -> None:
    queues = filled()
    assert queues.take() == []
    assert queues.is_quiet("a")
    assert queues.is_first(Task("a"))


def test_a_target_has_one_at_a_time_in_the_order_of_their_coming() -> None:
    first, second, third = (Task("a") for _ in range(3))
    queues = filled(first, second, third)
    assert queues.take() == [first]
    assert queues.take() == []
    assert [queues.is_first(task) for task in (first, second, third)] == [True, False, False]
    queues.remove(first)
    assert queues.take() == [second]


def test_each_line_has_its_places() -> None:
    writes = [Task(str(number)) for number in range(PLACES + 1)]
    long = Task("long", Line.LONG)
    queues = filled(*writes, long)
    assert queues.take() == [*writes[:PLACES], long]
    queues.remove(long)
    assert queues.take() == []
    queues.remove(writes[0])
    assert queues.take() == [writes[PLACES]]


def test_a_place_is_given_back_once() -> None:
    tasks = [Task(str(number)) for number in range(3)]
    queues = filled(*tasks, places=1)
    assert queues.take() == tasks[:1]
    queues.give_back(tasks[0])
    queues.give_back(tasks[0])
    queues.remove(tasks[0])
    queues.give_back(tasks[2])  # it has none
    assert queues.take() == tasks[1:2]


def test_a_place_that_is_given_back_is_one_more() -> None:
    tasks = [Task(str(number)) for number in range(3)]
    queues = filled(tasks[0], places=2)
    assert queues.take() == tasks[:1]
    queues.remove(tasks[0])
    for task in tasks[1:]:
        queues.add(task)
    assert queues.take() == tasks[1:]


def test_who_gave_its_place_back_keeps_its_target() -> None:
    first, second, other, third = Task("a"), Task("a"), Task("b"), Task("c")
    queues = filled(first, second, other, third, places=2)
    assert queues.take() == [first, other]
    queues.give_back(first)  # it waits for something else
    assert queues.take() == [third]
    queues.wait_again(first)
    queues.remove(other)
    assert queues.take() == [first]
    queues.remove(first)
    assert queues.take() == [second]
    assert not queues.is_quiet("a")
    assert queues.is_quiet("b")


def test_what_is_over_before_its_turn_holds_nobody_up() -> None:
    first, second, third = (Task("a") for _ in range(3))
    queues = filled(first, second, third)
    assert queues.take() == [first]
    queues.remove(second)
    queues.remove(first)
    assert queues.take() == [third]
    queues.remove(third)
    assert queues.is_quiet("a")
    queues.remove(third)  # a second time is nothing
    assert queues.is_quiet("a")
    assert queues.take() == []


def test_the_urgent_passes_and_holds_nobody_up() -> None:
    stuck, urgent, waiting = Task("a"), Task("a", Line.URGENT, urgent=True), Task("b")
    queues: Queues[Task] = Queues(places=1)
    queues.add(stuck, begun=True)  # in another life: it has no place in this one
    for task in (urgent, waiting):
        queues.add(task)
    assert queues.take() == [urgent, waiting]
    assert queues.is_first(stuck)
    queues.remove(stuck)
    assert queues.is_quiet("a")


def test_the_urgent_need_a_place_too() -> None:
    first, second = (Task("a", Line.URGENT, urgent=True) for _ in range(2))
    queues = filled(first, second, places=1)
    assert queues.take() == [first]
    queues.remove(first)
    assert queues.take() == [second]
