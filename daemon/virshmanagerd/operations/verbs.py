"""The verbs in one table: what each checks before, does, and looks at after a crash."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from virshmanagerd.driver import Driver, Facts, Line, writing
from virshmanagerd.driver.single import xml_hash
from virshmanagerd.errors import DriverError
from virshmanagerd.operations import checks, observing
from virshmanagerd.operations.defining import Definition
from virshmanagerd.operations.observing import Check, Observe, converges

if TYPE_CHECKING:
    from virshmanagerd.driver.answers import Domain
    from virshmanagerd.driver.session import Session
    from virshmanagerd.journal import Entry

# Of a domain that is changed, and cannot be read.
NOT_READ: Final[Mapping[str, None]] = MappingProxyType({"domain": None})


@dataclass(frozen=True)
class Verb:
    """One change.

    ``call`` returns when libvirt has answered. ``stored``: its facts need what libvirt keeps of the domain.
    ``converges``: it sets a state, so what it was to bring about may be there by somebody else's hand just as
    well. ``waits``: after its call it waits for what ``observe`` says, until the deadline. ``aborts``:
    cancelling it ends libvirt's job.
    """

    check: Check
    call: Callable[[Session, Entry], None]
    observe: Observe
    line: Line = Line.WRITE
    stored: bool = False
    converges: bool = True
    waits: bool = False
    aborts: bool = False

    @property
    def urgent(self) -> bool:
        """Whether it waits behind no other change of its domain."""
        return self.line is Line.URGENT

    @property
    def cancellable(self) -> bool:
        """Whether it can be ended after it was begun."""
        return self.waits or self.aborts

    def look(self, driver: Driver, entry: Entry, *, job: bool = False) -> Facts | None:
        """The facts of the target. Raises DriverError."""
        return driver.facts(uuid_of(entry), job=job, stored=self.stored)

    def result(
        self, driver: Driver, entry: Entry, row: Callable[[str], Domain | None] | None = None
    ) -> dict[str, Any]:
        """What the verdict ``done`` tells beside itself; null for what cannot be read now.

        ``row`` reads a domain, where there is a better way than the driver's.
        """
        if entry.verb == "define":
            return _definition(driver, entry)
        try:
            return {"domain": (row or driver.row)(uuid_of(entry))}
        except DriverError:
            return dict(NOT_READ)


def uuid_of(entry: Entry) -> str:
    """The domain that an operation changes. Raises InvalidXML."""
    if entry.verb == "define":
        return Definition.of(entry).uuid
    return str(entry.target["uuid"])


def _on_domain(function: Callable[[Session, str], None]) -> Callable[[Session, Entry], None]:
    return lambda session, entry: function(session, uuid_of(entry))


def _destroy(session: Session, entry: Entry) -> None:
    writing.destroy(session, uuid_of(entry), entry.remembered["id"])


def _autostart(session: Session, entry: Entry) -> None:
    writing.autostart(session, uuid_of(entry), enabled=entry.args["enabled"])


def _metadata(session: Session, entry: Entry) -> None:
    writing.metadata(session, uuid_of(entry), **entry.args)


def _define(session: Session, entry: Entry) -> None:
    writing.define(session, Definition.of(entry).xml)


def _definition(driver: Driver, entry: Entry) -> dict[str, Any]:
    uuid = uuid_of(entry)
    try:
        facts = driver.facts(uuid, stored=True)
    except DriverError:
        facts = None
    return {"uuid": uuid, "xml_hash": None if facts is None else xml_hash(checks.stored(facts).xml)}


VERBS: Final[Mapping[str, Verb]] = MappingProxyType(
    {
        "start": Verb(checks.start, _on_domain(writing.start), observing.started, converges=False),
        "shutdown": Verb(checks.shutdown, _on_domain(writing.shutdown), observing.stopped, waits=True),
        "reboot": Verb(checks.reboot, _on_domain(writing.reboot), observing.untold, converges=False),
        "reset": Verb(checks.reset, _on_domain(writing.reset), observing.untold, converges=False),
        "destroy": Verb(checks.destroy, _destroy, observing.destroyed, Line.URGENT),
        "suspend": Verb(checks.suspend, _on_domain(writing.suspend), converges(checks.suspend)),
        "resume": Verb(checks.resume, _on_domain(writing.resume), converges(checks.resume)),
        "save": Verb(
            checks.save, _on_domain(writing.save), converges(checks.save), Line.LONG, stored=True, aborts=True
        ),
        "restore": Verb(
            checks.restore,
            _on_domain(writing.restore),
            observing.started,
            Line.LONG,
            stored=True,
            converges=False,
        ),
        "autostart": Verb(checks.autostart, _autostart, converges(checks.autostart), stored=True),
        "undefine": Verb(checks.undefine, _on_domain(writing.undefine), observing.undefined, stored=True),
        "metadata": Verb(checks.metadata, _metadata, observing.described, stored=True),
        "define": Verb(checks.define, _define, observing.defined, stored=True),
    }
)
