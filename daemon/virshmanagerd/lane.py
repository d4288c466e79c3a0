"""A lane: a few threads and a short queue for one kind of callers, so that no kind waits for another.

Not ``concurrent.futures``: the interpreter waits for the threads of an executor at its end, and a
thread that is lost in libvirt would hold it for ever.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)

Task = Callable[[], None]


class Lane:
    """Runs tasks on at most ``threads`` threads; at most ``backlog`` more may wait."""

    def __init__(self, name: str, *, threads: int, backlog: int) -> None:
        self._name = name
        self._threads = threads
        self._most = threads + backlog
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._unfinished = 0
        self._started = 0

    def submit(self, task: Task) -> bool:
        """Take a task; False when the lane is full, or has no thread. A task must not raise."""
        with self._lock:
            if self._unfinished >= self._most:
                return False
            if self._started < min(self._threads, self._unfinished + 1):
                self._start()
            if not self._started:
                return False
            self._unfinished += 1
        self._tasks.put(task)
        return True

    def _start(self) -> None:
        name = f"{self._name}-{self._started + 1}"
        try:
            threading.Thread(target=self._work, name=name, daemon=True).start()
        except RuntimeError as error:  # the next task tries it again
            logger.error("the system gives no thread: %s", error)
        else:
            self._started += 1

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            try:
                task()
            finally:
                del task  # an idle thread must not keep a connection alive
                with self._lock:
                    self._unfinished -= 1
