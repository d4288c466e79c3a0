"""One open operation in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from virshmanagerd import clock
from virshmanagerd.errors import DriverError, InvalidXML
from virshmanagerd.journal import CANCELLED, EXPIRED, STARTED, Json
from virshmanagerd.operations.verbs import VERBS, Verb, uuid_of

if TYPE_CHECKING:
    from virshmanagerd.driver import Line
    from virshmanagerd.journal import Entry


@dataclass(frozen=True)
class Verdict:
    """How an operation has ended. `problem` is `{type, detail}`."""

    state: str
    result: Json = field(default_factory=dict)
    problem: Json | None = None

    @classmethod
    def with_problem(cls, state: str, error: DriverError) -> Verdict:
        """A verdict that says why."""
        return cls(state, problem={"type": error.type, "detail": str(error)})


Step = Callable[["Work"], None]


@dataclass(eq=False)
class Work:
    """An entry of the journal that has no verdict there. The runner's lock guards what changes.

    At most one step is at work on it. ``resting``: none is, and nothing was begun. ``begun``: libvirt may
    have been told. ``calling``: it is being told. ``next_step`` is what the timer with this ``ticket`` will
    begin. ``hurried``: something happened while a step was at work, which may have looked before it.
    ``obstacle`` is why it could not begin, since ``held_up`` (a moment of ``clock``).
    """

    entry: Entry
    verb: Verb
    target: str
    begun: bool
    resting: bool = True
    calling: bool = False
    repeated: bool = False
    next_step: Step | None = None
    ticket: int = 0
    hurried: bool = False
    progress: int | None = None
    obstacle: DriverError | None = None
    held_up: float | None = None
    verdict: Verdict | None = None

    @classmethod
    def of(cls, entry: Entry) -> Work:
        """The work that an entry means."""
        begun = entry.state == STARTED
        return cls(entry, VERBS[entry.verb], _target(entry), begun=begun, resting=not begun)

    @property
    def line(self) -> Line:
        """See ``queues.Task``."""
        return self.verb.line

    @property
    def urgent(self) -> bool:
        """See ``queues.Task``."""
        return self.verb.urgent

    def has_waited(self, error: DriverError) -> float:
        """Note what is in its way; the seconds that something has been."""
        self.obstacle = error
        self.held_up = clock.now() if self.held_up is None else self.held_up
        return clock.now() - self.held_up

    def barred(self) -> Verdict | None:
        """The verdict of what may not begin any more: it was cancelled, or its time has passed."""
        if self.entry.cancel_asked:
            return Verdict(CANCELLED)
        return self.expired() if self.entry.remaining <= 0 else None

    def expired(self) -> Verdict:
        """The verdict when the deadline came before the beginning; it says what was in the way."""
        if self.obstacle is None:
            return Verdict(EXPIRED)
        return Verdict.with_problem(EXPIRED, self.obstacle)


def _target(entry: Entry) -> str:
    try:
        return uuid_of(entry)
    except InvalidXML:
        return entry.id  # it will be refused, and needs to wait for nobody
