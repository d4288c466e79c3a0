"""One hypervisor, by libvirt: the only place that knows libvirt.

A `Driver` reconnects by itself and never waits longer than a deadline. All its
errors are those of `virshmanagerd.errors`. Many drivers share one process,
one event loop and one pool of threads.

The modules: `eventloop` and `pool` (of the process), `calls` and `guests`
(deadlines and limits), `session`, `link` and `lines` (the connections),
`bulk`, `single`, `facts` and `screen` (answers), `writing` (changes),
`consoles` and `serial`.
"""

from __future__ import annotations

import socket
import time
import uuid as uuids
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import libvirt

from virshmanagerd.driver import bulk, consoles, facts, samples, screen, single
from virshmanagerd.driver.answers import (
    Domain,
    DomainDetails,
    DomainStats,
    HostFacts,
    Libvirt,
    Listing,
    Sample,
)
from virshmanagerd.driver.calls import CallLost, Calls, Limits, exit_process
from virshmanagerd.driver.consoles import End
from virshmanagerd.driver.eventloop import LOOP, Timer
from virshmanagerd.driver.events import Events, Publisher
from virshmanagerd.driver.facts import Facts, Stored
from virshmanagerd.driver.guests import Guests
from virshmanagerd.driver.lines import Line, Lines
from virshmanagerd.driver.link import Link
from virshmanagerd.driver.pool import Pool
from virshmanagerd.driver.serial import Listener, SerialConsole
from virshmanagerd.driver.session import Session
from virshmanagerd.driver.single import Which
from virshmanagerd.errors import DriverError, LibvirtDown, NoSuchDomain, from_code

__all__ = [
    "CallLost",
    "Driver",
    "End",
    "Facts",
    "Limits",
    "Line",
    "Listener",
    "SerialConsole",
    "Stored",
    "Which",
    "canonical",
]

T = TypeVar("T")

# One driver may have 15 calls in flight and four connection attempts; the rest is for ending sessions.
_POOL = Pool(24)
# Changes may take long, and must not use up the threads of those who read.
_CHANGING = Pool(24)


class Driver:
    """Reads from, and changes, the libvirt at `uri`. All methods are safe for threads."""

    def __init__(
        self,
        uri: str,
        *,
        limits: Limits | None = None,
        on_exhausted: Callable[[], None] = exit_process,
    ) -> None:
        self._uri = uri
        self._limits = limits or Limits()
        self._calls = Calls(_POOL, self._limits, on_exhausted)
        self._changes = Calls(_CHANGING, self._limits, on_exhausted)
        self._guests = Guests(self._limits)
        self._events = Events(self._calls, self._limits.extra, self._lost)
        self._link = Link(uri, self._calls, self._limits, self._events)
        make = partial(Link, uri, self._calls, self._limits)
        self._lines = Lines(uri, make, self._link)

    def tell(self, publisher: Publisher) -> None:
        """Publish there what happens to libvirt and its domains. To be called before `start`."""
        self._events.publisher = publisher

    def on_lifecycle(self, heard: Callable[[str], None]) -> None:
        """Call `heard`, which must not wait, with the UUID of each domain that was started, stopped ..."""
        self._events.on_lifecycle = heard

    def start(self) -> None:
        """Begin to connect, and return at once. libvirt may be absent."""
        LOOP.ensure_running()
        self._link.start()

    def stop(self) -> None:
        """End the connections, without waiting for libvirt."""
        self._lines.stop()

    @property
    def event_epoch(self) -> str:
        """A UUID that is new after each reconnection."""
        return self._link.epoch

    def host(self) -> HostFacts:
        """The host and its libvirt. Raises nothing: `alive` tells."""
        try:
            self._without(single.learn_constants)
            return self._ask(single.host, self._limits.read)
        except DriverError as error:
            return self._silent(str(error))

    def domains(self) -> Listing:
        """All domains.

        Raises LibvirtDown, QueueFull, HypervisorBusy.
        """
        session = self._link.session()
        end = time.monotonic() + self._limits.bulk
        try:
            rows = self._run(session, partial(bulk.rows, groups=bulk.SIZES), self._limits.bulk_first)
        except CallLost:
            # One domain's process does not answer. States alone need no word from it.
            session = self._link.session()
            rows = self._run(session, partial(bulk.rows, groups=bulk.STATE), end - time.monotonic())
        domains = self._run(session, partial(bulk.listing, found=rows), end - time.monotonic())
        return Listing(event_epoch=session.epoch, domains=domains)

    def stats(self) -> list[DomainStats]:
        """libvirt's statistics of all domains.

        Raises LibvirtDown, QueueFull, HypervisorBusy, NotSupported.
        """
        return self._ask_twice(bulk.stats)

    def samples(self) -> list[Sample]:
        """The counters of each active domain.

        Raises LibvirtDown, QueueFull, HypervisorBusy, NotSupported.
        """
        return self._ask_twice(samples.take)

    def domain(self, uuid: str) -> DomainDetails:
        """One domain with its devices and addresses.

        Raises NoSuchDomain, LibvirtDown, QueueFull, HypervisorBusy.
        """
        name = canonical(uuid)
        domain = self._ask(partial(single.details, uuid=name), self._limits.read)
        if domain["id"] is not None and domain["interfaces"]:
            addresses = self._without(partial(single.addresses, uuid=name)) or {}
            for interface in domain["interfaces"]:
                interface["addresses"] = addresses.get((interface["mac"] or "").lower(), [])
        return domain

    def row(self, uuid: str) -> Domain | None:
        """One domain as in `domains`, without asking its process; None when there is no such domain.

        Raises LibvirtDown, QueueFull, HypervisorBusy.
        """
        return self._ask(partial(single.row, uuid=canonical(uuid)), self._limits.read)

    def xml(self, uuid: str, which: Which | None = None) -> str:
        """The domain's XML: as named, else live while active and inactive while not.

        Raises NoSuchDomain, WrongState, LibvirtDown, QueueFull, HypervisorBusy.
        """
        work = partial(single.xml, uuid=canonical(uuid), which=which)
        return self._ask(work, self._limits.read)

    def screenshot(self, uuid: str) -> bytes:
        """The domain's first screen as PNG.

        Raises NoSuchDomain, WrongState, NotSupported, LibvirtDown, QueueFull, HypervisorBusy.
        """
        name = canonical(uuid)
        with self._guests.asking(name):
            picture = self._ask(partial(screen.take, uuid=name), self._limits.read)
        return screen.as_png(picture)

    def facts(self, uuid: str, *, job: bool = False, stored: bool = False) -> Facts | None:
        """What must be known of a domain to change it; None when there is no such domain.

        Raises LibvirtDown, QueueFull, HypervisorBusy.
        """
        name = canonical(uuid)
        work = partial(facts.facts, uuid=name, job=job, stored=stored)
        if not job:
            return self._ask(work, self._limits.read)
        # The guest's process is asked: if that is stuck, those who read keep their session.
        with self._guests.asking(name):
            return self._ask(work, self._limits.read, Line.LONG)

    def progress(self, uuid: str) -> int | None:
        """How far the domain's job is in per cent; None when that is not known.

        Raises DriverError, also when there is no job.
        """
        with self._guests.asking(uuid):
            return self._ask(partial(facts.progress, uuid=uuid), self._limits.extra, Line.LONG)

    def begin(self, work: Callable[[], None]) -> None:
        """Have a thread for changes call `work`, which must not raise."""
        self._changes.start(work)

    def later(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Call `action`, which must not wait, after `seconds`."""
        LOOP.ensure_running()
        return LOOP.call_later(seconds, action)

    @contextmanager
    def holding_events(self, uuid: str) -> Iterator[None]:
        """Let the events of a change of this domain wait a moment, so that its verdict is told first."""
        self._events.hold(uuid)
        try:
            yield
        finally:
            self._events.let_go(uuid)

    def session(self, line: Line) -> Session:
        """The connection for a kind of change. Raises LibvirtDown."""
        return self._lines.session(line)

    def change(
        self, line: Line, session: Session, work: Callable[[Session], T], lost: Callable[[], None]
    ) -> T:
        """Change something, on a thread that `begin` gave; returns when libvirt has answered.

        On all lines but LONG it counts as lost after a while, until it returns: then `lost` is called.
        Raises any DriverError. LibvirtDown: it may have been done, or not.
        """
        seconds = None if line is Line.LONG else self._limits.write
        return self._with(line, session, work, seconds, lost)

    def row_after(self, line: Line, session: Session, uuid: str, lost: Callable[[], None]) -> Domain | None:
        """As `row`, for a change that has just returned: on its thread, over its connection.

        Right after a guest began its processors are short: this wakes no other thread, and does not queue
        with the reads that libvirt's events cause. Past the time of a read `lost` is called, as by `change`.
        Beside another change it would not be sent in time: then it is read as `row` does.
        Raises any DriverError.
        """
        if session.is_occupied():
            return self.row(uuid)
        work = partial(single.row, uuid=canonical(uuid))
        return self._with(line, session, work, self._limits.read, lost)

    def _with(
        self,
        line: Line,
        session: Session,
        work: Callable[[Session], T],
        seconds: float | None,
        lost: Callable[[], None],
    ) -> T:
        link = self._lines.link(line)

        def is_lost() -> None:
            link.renew(session)
            lost()

        try:
            with session.at_work():
                return self._changes.in_time(partial(work, session), seconds, is_lost)
        except libvirt.libvirtError as error:
            raise self._meaning(link, session, error) from None

    def open_serial(self, uuid: str, listener: Listener, *, take: bool) -> SerialConsole:
        """The domain's serial console; with `take`, from whoever has it. Close it when done.

        Raises NoSuchDomain, WrongState, NoSerialDevice, ConsoleBusy, LibvirtDown, QueueFull, HypervisorBusy.
        """
        name = canonical(uuid)
        number, alias = self._ask(partial(consoles.serial_line, uuid=name), self._limits.read)
        console = SerialConsole(listener, partial(self._runs, name, number))
        work = partial(console.open, self._uri, name, alias, take=take)
        try:
            self._calls.run(work, self._limits.read)
        except CallLost:
            console.close(lambda: None)
            raise
        except libvirt.libvirtError as error:  # of a connection of its own, which says nothing of the others
            raise from_code(error.get_error_code(), error.get_error_message() or str(error)) from None
        return console

    def open_vnc(self, uuid: str) -> socket.socket:
        """A new connection to the domain's VNC display, not blocking, that begins with the handshake of RFB.

        Raises NoSuchDomain, WrongState, NoVncDevice, LibvirtDown, QueueFull, HypervisorBusy.
        """
        index = self._ask(partial(consoles.vnc_index, uuid=canonical(uuid)), self._limits.read)
        # As for a change libvirt waits, up to 30 s, while the domain is just being saved.
        session = self._lines.session(Line.WRITE)
        work = partial(consoles.open_vnc, uuid=canonical(uuid), index=index)
        with session.at_work():
            return self._run(session, work, self._limits.write, Line.WRITE, self._changes)

    def find_end(self, uuid: str, tell: Callable[[End], None]) -> None:
        """Find out why a console of the domain ended, and tell it on another thread."""
        consoles.find_end(partial(self._runs, canonical(uuid)), tell)

    def _runs(self, uuid: str, number: int | None = None) -> bool:
        return self._ask(partial(consoles.is_running, uuid=uuid, number=number), self._limits.read)

    def _without(self, work: Callable[[Session], T]) -> T | None:
        """Ask for what an answer can do without."""
        try:
            return self._ask(work, self._limits.extra)
        except DriverError:
            return None

    def _ask(self, work: Callable[[Session], T], seconds: float, line: Line = Line.READ) -> T:
        return self._run(self._lines.session(line), work, seconds, line)

    def _ask_twice(self, work: Callable[[Session], T]) -> T:
        """Ask for statistics of all domains."""
        end = time.monotonic() + self._limits.bulk
        try:
            return self._ask(work, self._limits.bulk_first)
        except CallLost:
            # The lost call now holds the stuck domain's job: the next one passes over that domain.
            session = self._link.session()
            return self._run(session, work, end - time.monotonic())

    def _run(
        self,
        session: Session,
        work: Callable[[Session], T],
        seconds: float,
        line: Line = Line.READ,
        calls: Calls | None = None,
    ) -> T:
        link = self._lines.link(line)
        try:
            return (calls or self._calls).run(partial(work, session), seconds)
        except CallLost:
            link.renew(session)
            raise
        except libvirt.libvirtError as error:
            raise self._meaning(link, session, error) from None

    def _lost(self, session: Session) -> None:
        self._link.renew(session)

    def _meaning(self, link: Link, session: Session, error: libvirt.libvirtError) -> DriverError:
        message = error.get_error_message() or str(error)
        known = from_code(error.get_error_code(), message)
        if isinstance(known, LibvirtDown) or not session.is_alive():
            link.drop(session, message)
            return LibvirtDown(message)
        return known

    def _silent(self, reason: str) -> HostFacts:
        down = Libvirt(
            uri=self._uri,
            alive=False,
            version=None,
            hypervisor=None,
            hypervisor_version=None,
            error=reason,
        )
        return HostFacts(
            uuid=None,
            cpus=None,
            memory=None,
            memory_free=None,
            libvirt=down,
            event_epoch=self.event_epoch,
        )


def canonical(uuid: str) -> str:
    """The UUID as libvirt writes it. Raises NoSuchDomain: what is no UUID names no domain."""
    try:
        return str(uuids.UUID(uuid))
    except ValueError:
        raise NoSuchDomain("no domain has this UUID") from None
