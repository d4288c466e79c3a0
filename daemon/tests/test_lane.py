"""Threads and queue of one kind of callers."""

from __future__ import annotations

import threading

import pytest

from virshmanagerd.lane import Lane


def _none(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_full_lane_refuses() -> None:
    lane, gate = Lane("full", threads=1, backlog=1), threading.Event()

    def hold() -> None:
        gate.wait(5)

    assert lane.submit(hold)
    assert lane.submit(lambda: None)
    assert not lane.submit(lambda: None)
    gate.set()


def test_tasks_run_beside_each_other() -> None:
    lane, barrier, done = Lane("beside", threads=3, backlog=0), threading.Barrier(3), threading.Semaphore(0)

    def task() -> None:
        barrier.wait(5)
        done.release()

    assert all(lane.submit(task) for _ in range(3))
    assert all(done.acquire(timeout=5) for _ in range(3))


def test_there_are_never_more_threads_than_agreed() -> None:
    lane, done = Lane("few", threads=2, backlog=100), threading.Semaphore(0)
    for _ in range(50):
        assert lane.submit(done.release)
    assert all(done.acquire(timeout=5) for _ in range(50))
    assert len([thread for thread in threading.enumerate() if thread.name.startswith("few-")]) <= 2


def test_no_thread_before_the_first_task() -> None:
    Lane("lazy", threads=8, backlog=0)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lazy-")]


def test_a_lane_without_a_thread_refuses_until_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lane, done = Lane("poor", threads=1, backlog=0), threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _none)
        assert not lane.submit(done.set)
    assert not done.is_set()
    assert lane.submit(done.set)
    assert done.wait(5)


def test_the_threads_that_there_are_go_on_while_there_can_be_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    lane, gate, done = Lane("poor", threads=2, backlog=1), threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        gate.wait(5)

    assert lane.submit(hold)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _none)
        assert lane.submit(done.release)
    gate.set()
    assert done.acquire(timeout=5)
    assert lane.submit(done.release)
    assert done.acquire(timeout=5)
