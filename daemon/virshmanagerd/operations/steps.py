"""The steps of one operation, from its turn to its verdict.

    prepare -> (started, on the disk) -> call -> verdict
                                 observe -> verdict, or call again, or a later look

A verdict needs a call that returned, or an observation. What is observed: a verb that a crash or a lost
connection interrupted, and a guest that was asked to shut down.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from virshmanagerd import clock, faults
from virshmanagerd.driver import CallLost, Driver, Line, writing
from virshmanagerd.errors import DriverError, GuestDidNotStop, HypervisorBusy, LibvirtDown, Unavailable
from virshmanagerd.journal import (
    CANCELLED,
    DONE,
    EXPIRED,
    FAILED,
    STARTED,
    UNKNOWN,
    Journal,
    JournalUnwritable,
    Json,
)
from virshmanagerd.operations.observing import Seen
from virshmanagerd.operations.verbs import NOT_READ, uuid_of
from virshmanagerd.operations.work import Verdict, Work

if TYPE_CHECKING:
    from virshmanagerd.driver.session import Session
    from virshmanagerd.operations.runner import Runner

logger = logging.getLogger(__name__)

# The event that a guest has stopped comes first, but for a connection that was just lost.
POLL_SECONDS: Final = 0.5
RETRY_SECONDS: Final = 1.0
# A look that is lost costs a thread until it returns, and then there is no need to rest any longer. From
# a domain that does not answer it returns after 30 seconds.
BUSY_SECONDS: Final = 40.0
# A guest that is just going refuses a shutdown for its monitor is gone; soon libvirt sees that it is off.
GOING_SECONDS: Final = 5.0
# How long an operation waits for a libvirt that is away, before it fails with nothing done.
PATIENCE_SECONDS: Final = 30.0
INTERRUPTED: Final[Json] = {
    "type": "interrupted",
    "detail": "the daemon or libvirt ended in the middle of it: nobody can tell whether it was done",
}


class Steps:
    """What is done on the driver's threads for changes. Nothing here waits but for libvirt and the disk."""

    def __init__(self, driver: Driver, journal: Journal, runner: Runner) -> None:
        self._driver = driver
        self._journal = journal
        self._runner = runner

    def prepare(self, work: Work) -> None:
        """Look at the domain, write that the verb begins, and begin it."""
        entry, verb = work.entry, work.verb
        if entry.remaining <= 0:
            self._runner.end(work, work.expired())
            return
        # Before the look: what ends between the two has changed the domain after it was seen.
        alone = not work.urgent or self._runner.is_quiet(work.target)
        try:
            facts = verb.look(self._driver, entry)
            remembered = verb.check(facts, entry)
            session = self._driver.session(verb.line)
        except Unavailable as error:
            self._postpone(work, error)
            return
        except DriverError as error:
            self._runner.end(work, Verdict.with_problem(FAILED, error))
            return
        if remembered is not None:
            self._start(work, remembered, session)
        elif not alone:
            self._runner.rest(work, POLL_SECONDS)  # it is off; but what came before may be just starting it
        else:
            self.succeed(work)

    def _start(self, work: Work, remembered: Json, session: Session) -> None:
        if not self._runner.commit(work):
            return
        try:
            self._journal.start(work.entry.id, remembered)
        except JournalUnwritable as error:
            logger.error("%s is not begun: %s", work.entry.id, error)
            self._runner.rest(work, RETRY_SECONDS)
            return
        work.entry.state, work.entry.remembered = STARTED, remembered
        faults.at("started")
        self._runner.publish(work)
        self._call(work, session)

    def _postpone(self, work: Work, error: Unavailable) -> None:
        if work.has_waited(error) > PATIENCE_SECONDS:
            self._runner.end(work, Verdict.with_problem(FAILED, error))
        else:
            self._runner.rest(work, *_pause(error))

    def _call(self, work: Work, session: Session) -> None:
        """Tell libvirt, and wait for its answer: no verdict before it."""
        with self._driver.holding_events(uuid_of(work.entry)):
            self._called(work, session)

    def _called(self, work: Work, session: Session) -> None:
        entry, verb = work.entry, work.verb
        refusal: DriverError | None = None
        work.calling = True
        if verb.aborts:
            self._runner.run_later(self.tend, work, RETRY_SECONDS)
        try:
            lost = partial(self._driver.begin, partial(self._runner.give_back, work))
            self._driver.change(verb.line, session, lambda line: verb.call(line, entry), lost)
        except DriverError as error:
            refusal = error
        work.calling = False
        done = self._done(work, session) if refusal is None and not verb.waits else None
        self._runner.give_back(work)
        faults.at("called")
        if isinstance(refusal, LibvirtDown):
            self._runner.again(self.observe, work, RETRY_SECONDS)
        elif refusal is not None:
            self._refused(work, refusal)
        elif done is not None:
            self._runner.end(work, done)
        else:
            self.observe(work)

    def _done(self, work: Work, session: Session) -> Verdict:
        """The verdict after a call, with the domain as it is then, if that can be read in time."""
        entry, verb = work.entry, work.verb
        without = partial(self._runner.end, work, Verdict(DONE, dict(NOT_READ)))
        lost = partial(self._driver.begin, without)
        row = partial(self._driver.row_after, verb.line, session, lost=lost)
        return Verdict(DONE, verb.result(self._driver, entry, row))

    def _refused(self, work: Work, error: DriverError, since: float | None = None) -> None:
        """Judge by the state what libvirt refused: its codes differ from one hypervisor to the next."""
        since = clock.now() if since is None else since
        try:
            facts = work.verb.look(self._driver, work.entry, job=work.repeated)
            if work.repeated and facts is not None and facts.working:
                self.observe(work)  # the first call is still at work
                return
            # What the first call has done, the second is refused. Of a state it matters not whose it is.
            may_be_applied = work.verb.converges or work.repeated
            if may_be_applied and work.verb.observe(facts, work.entry) is Seen.APPLIED:
                self.succeed(work)
                return
            if type(error) is DriverError:
                work.verb.check(facts, work.entry)
        except Unavailable as busy:
            if work.repeated:  # what refused it may be the effect of the first call: only the state can tell
                again = partial(self._refused, error=error, since=since)
                self._runner.again(again, work, *_pause(busy))
                return
            # Else libvirt's own refusal must do.
        except DriverError as found:
            error = found
        if work.entry.cancel_asked:
            self._runner.end(work, Verdict(CANCELLED))
        elif work.verb.waits and type(error) is DriverError and clock.now() - since < GOING_SECONDS:
            self._runner.again(partial(self._refused, error=error, since=since), work, POLL_SECONDS)
        else:
            self._runner.end(work, Verdict.with_problem(FAILED, error))

    def observe(self, work: Work) -> None:
        """Look what became of a verb that was begun."""
        try:
            facts = work.verb.look(self._driver, work.entry, job=not work.verb.waits)
        except DriverError as error:
            self._cannot_see(work, error)
            return
        try:
            seen = work.verb.observe(facts, work.entry)
        except DriverError as error:
            self._runner.end(work, Verdict.with_problem(FAILED, error))
        else:
            if facts is not None and facts.working:
                self.tend(work)
                self._runner.again(self.observe, work, RETRY_SECONDS)
            else:
                self._judge(work, seen)

    def _cannot_see(self, work: Work, error: DriverError) -> None:
        """A look that failed says nothing of the verb: look again."""
        if isinstance(error, Unavailable) or work.entry.remaining > 0:
            self._runner.again(self.observe, work, *_pause(error))
        else:
            self._runner.end(work, Verdict.with_problem(UNKNOWN, error))

    def _judge(self, work: Work, seen: Seen) -> None:
        entry = work.entry
        late = entry.remaining <= 0
        if seen is Seen.APPLIED:
            self.succeed(work)
        elif seen is Seen.UNTOLD:
            self._runner.end(work, Verdict(UNKNOWN, problem=INTERRUPTED))
        elif entry.cancel_asked:
            self._runner.end(work, Verdict(CANCELLED))
        elif seen is Seen.PENDING and late:
            self._runner.end(work, Verdict.with_problem(FAILED, GuestDidNotStop()))
        elif seen is Seen.PENDING:
            self._runner.again(self.observe, work, min(POLL_SECONDS, entry.remaining))
        elif late:
            self._runner.end(work, Verdict(EXPIRED))
        else:
            self._repeat(work)

    def _repeat(self, work: Work) -> None:
        try:
            session = self._driver.session(work.verb.line)
        except LibvirtDown:
            self._runner.again(self.observe, work, RETRY_SECONDS)
        else:
            work.repeated = True
            self._call(work, session)

    def tend(self, work: Work) -> None:
        """Look how far a job is, and abort it when that was asked; every second while its call runs."""
        progress, pause = None, _pause()
        try:
            progress = self._driver.progress(uuid_of(work.entry))
        except DriverError as error:
            pause = _pause(error)
        if progress is not None and progress != work.progress:
            work.progress = progress
            self._runner.publish(work)
        if work.entry.cancel_asked:
            self.abort(work)
        if work.calling:
            self._runner.run_later(self.tend, work, *pause)

    def succeed(self, work: Work) -> None:
        """Give the verdict `done`."""
        self._runner.end(work, Verdict(DONE, work.verb.result(self._driver, work.entry)))

    def abort(self, work: Work) -> None:
        """End libvirt's job, so that the call for it returns."""
        if not work.verb.aborts or not work.begun:
            return
        try:
            session = self._driver.session(Line.URGENT)
            abort = partial(writing.abort, uuid=uuid_of(work.entry))
            self._driver.change(Line.URGENT, session, abort, _nothing)
        except DriverError as error:
            logger.info("the job of %s is not aborted yet: %s", work.entry.id, error)


def _pause(error: DriverError | None = None) -> tuple[float, CallLost | None]:
    """For how long to wait, and the lost call that ends the waiting when it returns."""
    seconds = BUSY_SECONDS if isinstance(error, HypervisorBusy) else RETRY_SECONDS
    return seconds, error if isinstance(error, CallLost) else None


def _nothing() -> None:
    """An abort that is lost changes nothing for others."""
