"""Deadlines, lost calls, limits: what becomes of a call that does not return."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from hypervisors import eventually

from virshmanagerd.driver.calls import CallLost, Calls, Limits
from virshmanagerd.driver.pool import Pool
from virshmanagerd.errors import QueueFull

LONG = 30.0
SHORT = 0.2  # a busy machine takes a while to give a thread


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Stuck calls wait for it; it opens at the end of the test."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def exhausted() -> threading.Event:
    return threading.Event()


@pytest.fixture
def make(exhausted: threading.Event) -> Callable[..., Calls]:
    def make(threads: int = 4, **limits: int) -> Calls:
        return Calls(Pool(threads), Limits(**limits), exhausted.set)

    return make


def announce(begun: threading.Event, gate: threading.Event) -> bool:
    begun.set()
    return gate.wait()


def lose(calls: Calls, gate: threading.Event) -> None:
    with pytest.raises(CallLost):
        calls.run(gate.wait, SHORT)


def test_a_stuck_call_ends_at_its_deadline_for_its_caller(
    make: Callable[..., Calls], gate: threading.Event
) -> None:
    lose(make(), gate)


def test_stuck_calls_do_not_use_up_the_threads(make: Callable[..., Calls], gate: threading.Event) -> None:
    calls = make(threads=1)
    lose(calls, gate)
    lose(calls, gate)
    assert calls.run(lambda: "answer", LONG) == "answer"


def test_at_the_cap_of_lost_calls_the_process_is_given_up(
    make: Callable[..., Calls], gate: threading.Event, exhausted: threading.Event
) -> None:
    calls = make(lost=2)
    lose(calls, gate)
    assert not exhausted.is_set()
    lose(calls, gate)
    assert exhausted.is_set()


def test_a_lost_call_that_returns_is_not_counted_any_more(
    make: Callable[..., Calls], exhausted: threading.Event
) -> None:
    calls = make(lost=2)
    for _ in range(5):
        gate, returned = threading.Event(), threading.Event()

        def stuck(gate: threading.Event = gate, returned: threading.Event = returned) -> None:
            gate.wait()
            returned.set()

        with pytest.raises(CallLost):
            calls.run(stuck, SHORT)
        gate.set()
        assert returned.wait(LONG)
        eventually(lambda: calls.lost == 0)
    assert not exhausted.is_set()


def test_a_lost_call_says_when_it_returns(make: Callable[..., Calls], gate: threading.Event) -> None:
    with pytest.raises(CallLost) as lost:
        make().run(gate.wait, SHORT)
    said, said_late = threading.Event(), threading.Event()
    lost.value.when_returned(said.set)
    assert not said.is_set()
    gate.set()
    assert said.wait(LONG)
    lost.value.when_returned(said_late.set)
    assert said_late.is_set()


def test_a_full_queue_refuses_at_once(make: Callable[..., Calls], gate: threading.Event) -> None:
    calls = make(in_flight=1, waiting=1)
    started = threading.Event()
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(calls.run, partial(announce, started, gate), LONG)
        assert started.wait(LONG)
        second = callers.submit(calls.run, lambda: "second", LONG)
        eventually(lambda: refused(calls))
        assert not second.done()
        gate.set()
        assert first.result(LONG)
        assert second.result(LONG) == "second"


def refused(calls: Calls) -> bool:
    try:
        calls.run(lambda: None, SHORT)
    except QueueFull:
        return True
    return False


def test_who_waits_for_a_place_waits_no_longer_than_the_deadline(
    make: Callable[..., Calls], gate: threading.Event
) -> None:
    calls = make(in_flight=1)
    lose(calls, gate)
    with pytest.raises(QueueFull):
        calls.run(lambda: None, SHORT)


def test_a_call_that_never_began_is_not_lost(
    make: Callable[..., Calls], gate: threading.Event, exhausted: threading.Event
) -> None:
    calls = make(threads=1, lost=1)
    ran = threading.Event()
    begun = threading.Event()
    calls.start(partial(announce, begun, gate))
    assert begun.wait(LONG)
    with pytest.raises(QueueFull):
        calls.run(ran.set, SHORT)
    gate.set()
    assert calls.run(lambda: True, LONG)
    assert not ran.is_set()
    assert not exhausted.is_set()


def test_the_callers_error_is_the_calls_own(make: Callable[..., Calls]) -> None:
    with pytest.raises(ZeroDivisionError):
        make().run(lambda: 1 / 0, LONG)


def test_a_thread_serves_again(make: Callable[..., Calls]) -> None:
    calls = make()
    threads = {calls.run(threading.get_ident, LONG) for _ in range(50)}
    assert len(threads) <= 4


def test_many_callers_share_few_threads(make: Callable[..., Calls]) -> None:
    calls = make(threads=3, in_flight=8, waiting=32)
    with ThreadPoolExecutor(32) as callers:
        results = list(callers.map(lambda n: calls.run(lambda: (n, threading.get_ident()), LONG), range(500)))
    assert [n for n, _ in results] == list(range(500))
    assert len({thread for _, thread in results}) <= 3


def test_threads_in_excess_end_when_lost_calls_return(gate: threading.Event) -> None:
    pool = Pool(1)
    stuck = pool.submit(gate.wait)
    eventually(stuck.running)
    pool.write_off(stuck)
    assert pool.submit(lambda: True).result(LONG)
    gate.set()
    assert stuck.result(LONG)
    eventually(lambda: pool.threads == 1)
    assert pool.submit(lambda: True).result(LONG)


def test_threads_that_could_not_be_started_are_not_counted(
    make: Callable[..., Calls], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    calls = make(threads=2, in_flight=2, waiting=0)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none)
        for _ in range(4):
            with pytest.raises(QueueFull):
                calls.run(lambda: "answer", SHORT)
    assert calls.run(lambda: "answer", LONG) == "answer"
