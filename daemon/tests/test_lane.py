"""Threads and queue of one kind of callers."""

from __future__ import annotations

import threading

from virshmanagerd.lane import Lane


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
