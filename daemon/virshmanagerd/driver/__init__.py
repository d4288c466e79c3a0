"""One hypervisor, by libvirt: the only place that knows libvirt.

A `Driver` reconnects by itself and never waits longer than a deadline. All its
errors are those of `virshmanagerd.errors`. Many drivers share one process,
one event loop and one pool of threads.

The modules: `eventloop` and `pool` (of the process), `calls` (deadlines),
`session` and `link` (the connection), `bulk`, `single` and `screen` (answers).
"""

from __future__ import annotations

import time
import uuid as uuids
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import libvirt

from virshmanagerd.driver import bulk, screen, single
from virshmanagerd.driver.answers import Domain, DomainDetails, DomainStats, HostFacts, Libvirt, Listing
from virshmanagerd.driver.calls import CallLost, Calls, Limits, exit_process
from virshmanagerd.driver.eventloop import LOOP
from virshmanagerd.driver.link import Link
from virshmanagerd.driver.pool import Pool
from virshmanagerd.driver.session import Session
from virshmanagerd.driver.single import Which
from virshmanagerd.errors import DriverError, LibvirtDown, NoSuchDomain, from_code

__all__ = ["Driver", "Limits", "Which"]

T = TypeVar("T")

# One driver may have 15 calls in flight and one connection attempt; the rest is for ending sessions.
_POOL = Pool(20)


class Driver:
    """Reads from the libvirt at `uri`. All methods are safe for threads."""

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
        self._link = Link(uri, self._calls, self._limits)

    def start(self) -> None:
        """Begin to connect, and return at once. libvirt may be absent."""
        LOOP.ensure_running()
        self._link.start()

    def stop(self) -> None:
        """End the connection, without waiting for libvirt."""
        self._link.stop()

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
        end = time.monotonic() + self._limits.bulk
        try:
            return self._ask(bulk.stats, self._limits.bulk_first)
        except CallLost:
            # The lost call now holds the stuck domain's job: the next one passes over that domain.
            session = self._link.session()
            return self._run(session, bulk.stats, end - time.monotonic())

    def domain(self, uuid: str) -> DomainDetails:
        """One domain with its devices and addresses.

        Raises NoSuchDomain, LibvirtDown, QueueFull, HypervisorBusy.
        """
        name = _canonical(uuid)
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
        return self._ask(partial(single.row, uuid=_canonical(uuid)), self._limits.read)

    def xml(self, uuid: str, which: Which | None = None) -> str:
        """The domain's XML: as named, else live while active and inactive while not.

        Raises NoSuchDomain, WrongState, LibvirtDown, QueueFull, HypervisorBusy.
        """
        work = partial(single.xml, uuid=_canonical(uuid), which=which)
        return self._ask(work, self._limits.read)

    def screenshot(self, uuid: str) -> bytes:
        """The domain's first screen as PNG.

        Raises NoSuchDomain, WrongState, NotSupported, LibvirtDown, QueueFull, HypervisorBusy.
        """
        picture = self._ask(partial(screen.take, uuid=_canonical(uuid)), self._limits.read)
        return screen.as_png(picture)

    def _without(self, work: Callable[[Session], T]) -> T | None:
        """Ask for what an answer can do without."""
        try:
            return self._ask(work, self._limits.extra)
        except DriverError:
            return None

    def _ask(self, work: Callable[[Session], T], seconds: float) -> T:
        return self._run(self._link.session(), work, seconds)

    def _run(self, session: Session, work: Callable[[Session], T], seconds: float) -> T:
        try:
            return self._calls.run(partial(work, session), seconds)
        except CallLost:
            self._link.renew(session)
            raise
        except libvirt.libvirtError as error:
            raise self._meaning(session, error) from None

    def _meaning(self, session: Session, error: libvirt.libvirtError) -> DriverError:
        message = error.get_error_message() or str(error)
        known = from_code(error.get_error_code(), message)
        if isinstance(known, LibvirtDown) or not session.is_alive():
            self._link.drop(session, message)
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


def _canonical(uuid: str) -> str:
    """The UUID as libvirt writes it. What is no UUID names no domain."""
    try:
        return str(uuids.UUID(uuid))
    except ValueError:
        raise NoSuchDomain("no domain has this UUID") from None
