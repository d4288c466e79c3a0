"""The open operations of one host: which may go on, when, and what becomes of it.

Steps run on the driver's threads for changes. What has to wait for anything but libvirt's answer leaves its
thread, and a timer begins its next step. Each operation is given one verdict, which is true once it is on
the disk.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from virshmanagerd import faults
from virshmanagerd.journal import CANCELLED, FAILED, UNKNOWN, Entry, Journal, JournalUnwritable, Json
from virshmanagerd.operations.queues import Queues
from virshmanagerd.operations.steps import RETRY_SECONDS, Steps
from virshmanagerd.operations.work import Step, Verdict, Work
from virshmanagerd.web import Problem

if TYPE_CHECKING:
    from virshmanagerd.driver import CallLost, Driver

logger = logging.getLogger(__name__)

DEFECT: Final[Json] = {"type": "internal_error", "detail": "the daemon failed; its log says more"}


class Runner:
    """Brings entries of the journal to their verdict. Safe for threads."""

    def __init__(self, driver: Driver, journal: Journal, publish: Callable[[Work], None]) -> None:
        self._driver = driver
        self._journal = journal
        self._steps = Steps(driver, journal, self)
        self._lock = threading.RLock()
        self._queues: Queues[Work] = Queues()
        self._works: dict[str, Work] = {}
        self._stopped = False
        self.publish = publish

    def stop(self) -> None:
        """Begin no further step. What libvirt is at work on goes on, and is observed by the next runner."""
        self._stopped = True

    def find(self, operation_id: str) -> Work | None:
        """An operation without a verdict."""
        return self._works.get(operation_id)

    @property
    def open(self) -> int:
        """How many operations have no verdict."""
        return len(self._works)

    def begins_at_once(self, entry: Entry) -> bool:
        """Whether nothing of ours is in its way."""
        work = Work.of(entry)
        return work.urgent or self.is_quiet(work.target)

    def is_quiet(self, target: str) -> bool:
        """Whether nothing waits for a target, nor is at work on it; urgent ones apart."""
        with self._lock:
            return self._queues.is_quiet(target)

    def add(self, entry: Entry) -> None:
        """Bring an operation of the journal to its verdict. That it is here is the answer to who sent it."""
        work = Work.of(entry)
        with self._lock:
            self._works[entry.id] = work
            self._queues.add(work, begun=work.begun)
        if work.begun:
            self.publish(work)
            self.run(self._steps.observe, work)
        else:
            self._expire_later(work)
            self._dispatch()

    def cancel(self, work: Work) -> None:
        """End an operation that has not begun, that only waits, or whose job libvirt can abort.

        Raises JournalUnwritable, and Problem (409) when it cannot be ended.
        """
        with self._lock:
            if work.verdict is not None or (work.begun and not work.verb.cancellable):
                raise Problem("not_cancellable", 409, "libvirt is at work on it, and cannot be stopped.")
            if work.entry.cancel_asked:
                return
            self._journal.ask_cancel(work.entry.id)
            work.entry.cancel_asked = True
            resting, work.resting = work.resting, False
        if resting:
            self.end(work, Verdict(CANCELLED))
        elif work.verb.waits:
            self._hurry(work)
        elif work.begun:
            self.run(self._steps.abort, work)

    def hurry(self, target: str) -> None:
        """Something happened to a target: have those look now who wait to see it. Nothing here waits."""
        for work in list(self._works.values()):  # without our lock, which may wait for the disk
            if work.target == target and work.verb.waits:
                self._driver.begin(partial(self._hurry, work))

    # For the steps.

    def run(self, step: Step, work: Work) -> None:
        """Begin a step on a thread for changes."""
        self._driver.begin(partial(self._step, step, work))

    def run_later(self, step: Step, work: Work, seconds: float, lost: CallLost | None = None) -> None:
        """Begin a step after a while, or when a lost call returns."""
        self._later(seconds, partial(self._step, step, work), lost)

    def again(self, step: Step, work: Work, seconds: float, lost: CallLost | None = None) -> None:
        """Begin a step of an operation at work later, or when a lost call returns, or when it is hurried."""
        with self._lock:
            work.ticket += 1
            work.next_step = step
            ticket = work.ticket
            hurried, work.hurried = work.hurried, False
        self._later(0 if hurried else seconds, partial(self._next, work, ticket), lost)

    def rest(self, work: Work, seconds: float, lost: CallLost | None = None) -> None:
        """Let an operation that did not begin wait for its turn again, if it still may.

        That is after a while, or when a lost call returns.
        """
        with self._lock:
            verdict = work.barred()
            work.begun = False
            work.resting = verdict is None
            self._queues.give_back(work)
        if verdict is None:
            self._later(seconds, partial(self._wake, work), lost)
        else:
            self.end(work, verdict)
        self._dispatch()

    def commit(self, work: Work) -> bool:
        """Begin it, unless it was cancelled or its time passed meanwhile: then it ends, and False."""
        with self._lock:
            verdict = work.barred()
            work.begun = verdict is None
        if verdict is not None:
            self.end(work, verdict)
        return verdict is None

    def give_back(self, work: Work) -> None:
        """Let another have its place: its call has returned, or is lost."""
        with self._lock:
            self._queues.give_back(work)
        self._dispatch()

    def end(self, work: Work, verdict: Verdict) -> None:
        """Give an operation its verdict."""
        with self._lock:
            if work.verdict is not None:
                return
            work.verdict = verdict
        self._record(work)

    # Inside.

    def _later(self, seconds: float, action: Callable[[], None], lost: CallLost | None = None) -> None:
        """Call `action` after a while, not on the timers' own thread: our lock may wait for the disk.

        A lost call that returns ends the while: its thread is free, and libvirt may answer again.
        """
        timer = self._driver.later(seconds, partial(self._driver.begin, action))
        if lost is not None:
            lost.when_returned(timer.fire)

    def _dispatch(self) -> None:
        with self._lock:
            taken = [] if self._stopped else self._queues.take()
            for work in taken:
                work.resting = False
        for work in taken:
            self.run(self._steps.prepare, work)

    def _step(self, step: Step, work: Work) -> None:
        if self._stopped or not work.entry.is_open:
            return
        try:
            step(work)
        except Exception:  # a defect in one operation must not leave its domain closed to all others
            logger.exception("operation %s (%s) failed", work.entry.id, work.entry.verb)
            self.end(work, Verdict(UNKNOWN if work.begun else FAILED, problem=DEFECT))

    def _hurry(self, work: Work) -> None:
        with self._lock:
            ticket = work.ticket
            work.hurried = work.next_step is None
        self._driver.begin(partial(self._next, work, ticket))

    def _next(self, work: Work, ticket: int) -> None:
        with self._lock:
            if work.ticket != ticket or work.next_step is None:
                return  # it was hurried, or is at work
            step, work.next_step = work.next_step, None
        self._step(step, work)

    def _wake(self, work: Work) -> None:
        with self._lock:
            if not work.resting or self._stopped:
                return
            self._queues.wait_again(work)
        self._dispatch()

    def _expire_later(self, work: Work) -> None:
        self.run_later(self._expire, work, max(0.0, work.entry.remaining))

    def _expire(self, work: Work) -> None:
        if work.entry.remaining > 0:  # a timer's clock may run a little faster
            self._expire_later(work)
            return
        with self._lock:
            resting, work.resting = work.resting, False
        if resting:
            self.end(work, work.expired())

    def _record(self, work: Work) -> None:
        """Write the verdict, again and again until it is written: nobody could find it out a second time."""
        verdict, entry = work.verdict, work.entry
        if verdict is None or self._stopped:
            return
        try:
            self._journal.finish(entry.id, verdict.state, verdict.result, verdict.problem)
        except JournalUnwritable as error:
            logger.error("the verdict of %s is not written yet: %s", entry.id, error)
            self.again(self._record, work, RETRY_SECONDS)
            return
        faults.at("recorded")
        with self._lock:
            # The state last: who reads it without the lock then finds what belongs to it.
            entry.result, entry.problem, entry.state = verdict.result, verdict.problem, verdict.state
            self._works.pop(entry.id, None)
            self._queues.remove(work)
        self.publish(work)
        self._dispatch()
