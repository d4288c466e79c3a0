"""Changes to this hypervisor: each is in the journal before libvirt is touched, and gets exactly one verdict.

The modules: `orders` (what may be asked), `verbs` (the table) with `checks` (before), `observing` (after a
crash) and `defining` (XML), `queues` and `work` (who is next), `steps` and `runner` (how it goes on), and
`documents` (what the server sees).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from virshmanagerd import clock, faults
from virshmanagerd.journal import FAILED, STARTED, UNKNOWN, Entry, Journal, JournalUnwritable, Json
from virshmanagerd.operations import orders
from virshmanagerd.operations.documents import Document, document
from virshmanagerd.operations.runner import Runner
from virshmanagerd.operations.verbs import VERBS
from virshmanagerd.web import Problem

if TYPE_CHECKING:
    from pathlib import Path

    from virshmanagerd.driver import Driver
    from virshmanagerd.operations.work import Work

__all__ = ["Document", "JournalUnwritable", "Operations"]

logger = logging.getLogger(__name__)

PRUNE_SECONDS: Final = 3600.0
MOST_OPEN: Final = 1000
FOREIGN: Final[Json] = {
    "type": "not_supported",
    "detail": "a younger version of the daemon took this operation; this one does not know the verb",
}


class Operations:
    """The operations of one host. Safe for threads; no method waits for libvirt.

    The journal is opened at the first use. All but `tick` and `stop` may raise JournalUnwritable.
    """

    def __init__(
        self, directory: Path, driver: Driver, on_change: Callable[[Document], None] = lambda _document: None
    ) -> None:
        """`on_change` hears of each move of an operation, on any thread; it must not wait."""
        self._driver = driver
        self._on_change = on_change
        self._journal = Journal(directory)
        self._runner = Runner(driver, self._journal, self._publish)
        driver.on_lifecycle(self._runner.hurry)
        self._lock = threading.Lock()  # two requests with one id
        self._recovered = False
        self._tending = threading.Lock()
        self._prune_at = 0.0

    @property
    def journal_id(self) -> str:
        """The random name of the journal's file."""
        return self._journal.id

    def put(self, name: str, body: Mapping[str, Any], arrived: float) -> Document:
        """Accept an operation that `arrived` at a moment of `clock`, or find it again.

        Raises Problem: 422 ``bad_operation`` or ``operation_differs``, 409 ``journal_changed``,
        503 ``queue_full``.
        """
        operation_id = orders.canonical_id(name)
        if operation_id is None:
            raise Problem("bad_operation", 422, "the id must be a UUID")
        order = orders.read(body)
        with self._lock:
            self._recover()
            known = self._find(operation_id)
            if known is None:
                return self._accept(operation_id, order, arrived)
        if known[0].fingerprint != order.fingerprint:
            raise Problem("operation_differs", 422, "This id was used for something else.")
        return self._document(*known)

    def get(self, name: str) -> Document:
        """An operation. Raises Problem: 404 ``no_such_operation``."""
        with self._lock:
            self._recover()
        found = self._find(orders.canonical_id(name) or "")
        if found is None:
            raise Problem("no_such_operation", 404)
        return self._document(*found)

    def cancel(self, name: str) -> Document:
        """End an operation, if that is possible.

        Raises Problem: 404 ``no_such_operation``, 409 ``not_cancellable``.
        """
        found = self.get(name)
        work = self._runner.find(found["id"])
        if work is not None:
            self._runner.cancel(work)
        elif found["state"] != "cancelled":
            raise Problem("not_cancellable", 409, "It has ended.")
        return self.get(name)

    def acknowledge(self, names: Sequence[str]) -> int:
        """The server has stored the verdicts of these; return how many are known here."""
        with self._lock:
            self._recover()
        return self._journal.acknowledge([orders.canonical_id(name) or "" for name in names])

    def tick(self) -> None:
        """Go on after a restart, and forget what is old. Called about once a second; it does not wait."""
        due = not self._recovered or clock.now() >= self._prune_at
        if due and self._journal.exists() and self._tending.acquire(blocking=False):
            self._driver.begin(self._tend)

    def stop(self) -> None:
        """Let go of the journal. What libvirt is at work on goes on, for the next to observe."""
        self._runner.stop()
        self._journal.close()

    def _tend(self) -> None:
        try:
            with self._lock:
                self._recover()
            self._journal.prune()
            self._prune_at = clock.now() + PRUNE_SECONDS
        except JournalUnwritable as error:
            logger.error("%s", error)
        finally:
            self._tending.release()

    def _recover(self) -> None:
        """Go on with what an earlier process left open."""
        if not self._recovered:
            entries = self._journal.open_entries()
            for entry in entries:
                if entry.verb not in VERBS:
                    state = UNKNOWN if entry.state == STARTED else FAILED
                    self._journal.finish(entry.id, state, {}, FOREIGN)
            self._recovered = True
            for entry in entries:
                if entry.verb in VERBS:
                    self._runner.add(entry)

    def _find(self, operation_id: str) -> tuple[Entry, int | None] | None:
        work = self._runner.find(operation_id)
        if work is not None:
            return work.entry, work.progress
        entry = self._journal.find(operation_id)
        return None if entry is None else (entry, None)

    def _accept(self, operation_id: str, order: orders.Order, arrived: float) -> Document:
        if order.journal_id and order.journal_id != self._journal.id:
            raise Problem("journal_changed", 409, "This journal does not know what was begun before it.")
        if self._runner.open >= MOST_OPEN and not VERBS[order.verb].urgent:
            raise Problem("queue_full", 503, "Too many operations are open.", {"Retry-After": "1"})
        entry = Entry(
            id=operation_id,
            fingerprint=order.fingerprint,
            verb=order.verb,
            target=order.target,
            args=order.args,
            precondition=order.precondition,
            deadline=arrived + order.deadline,
        )
        self._journal.receive(entry, at_once=self._runner.begins_at_once(entry))
        faults.at("received")
        answer = self._document(entry)
        self._runner.add(entry)
        return answer

    def _publish(self, work: Work) -> None:
        self._on_change(self._document(work.entry, work.progress))

    def _document(self, entry: Entry, progress: int | None = None) -> Document:
        return document(entry, self._journal.id, progress)
