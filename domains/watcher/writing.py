"""Writing events: what is pending of all hosts goes into one transaction, by one thread."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from django.db import DatabaseError, InterfaceError, OperationalError

from hosts import services as hosts
from hosts.events import DomainEvent, Event, HostEvent, OperationEvent
from hosts.payloads import DomainFacts

from .. import services
from .inbox import Inbox
from .threads import Threads

logger = logging.getLogger(__name__)

# Of the database, not of what is written: the same is tried again.
PASSING: Final = (OperationalError, InterfaceError)
AGAIN_SECONDS: Final = 1.0
HOSTS_AT_ONCE: Final = 200


class Parcel(NamedTuple):
    """Events of one host, in order, under the generation that it is followed by."""

    host_id: int
    generation: int
    events: Sequence[Event]


class Outcome(NamedTuple):
    """`lost`: hosts that another watcher follows now. `failed`: why a host's events cannot be written."""

    lost: set[int]
    failed: dict[int, str]


class Writer:
    """Takes from the inboxes whatever is ready, as soon as the last batch is written: no timer, no delay.

    What is not written when it ends is not lost: whoever follows a host next lists it.
    """

    def __init__(self, on_lost: Callable[[int], None], on_failed: Callable[[int, str], None]) -> None:
        self._on_lost = on_lost
        self._on_failed = on_failed
        self.threads = Threads(1, "writer")
        self._waiting: dict[int, Inbox] = {}
        self._wake = asyncio.Event()

    def notice(self, inbox: Inbox) -> None:
        """Something was put into an inbox, or it is held no more."""
        if inbox.ready:
            self._waiting[inbox.host_id] = inbox
            self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while inboxes := self._next():
                await self._write(inboxes)

    def _next(self) -> list[Inbox]:
        ready = [inbox for inbox in self._waiting.values() if inbox.ready][:HOSTS_AT_ONCE]
        for inbox in ready:
            del self._waiting[inbox.host_id]
        return ready

    async def _write(self, inboxes: list[Inbox]) -> None:
        parcels = [Parcel(inbox.host_id, inbox.generation, inbox.take()) for inbox in inboxes]
        outcome = await self._until_written(parcels)
        for inbox in inboxes:
            inbox.written()
            self.notice(inbox)
        for host_id in outcome.lost:
            self._on_lost(host_id)
        for host_id, reason in outcome.failed.items():
            self._on_failed(host_id, reason)

    async def _until_written(self, parcels: list[Parcel]) -> Outcome:
        while True:
            try:
                return await self.threads.run(write, parcels)
            except PASSING as error:
                logger.warning("Events of %s hosts wait for the database: %s", len(parcels), error)
                await asyncio.sleep(AGAIN_SECONDS)


def write(parcels: Sequence[Parcel]) -> Outcome:
    """Write events of hosts, each host at most once, in order. Raises PASSING: then it may be tried again."""
    try:
        _settle_operations(parcels)
        mine = _write_rows(parcels)
    except PASSING:
        raise
    except DatabaseError:
        if len(parcels) == 1:
            logger.exception("The events of host %s cannot be written", parcels[0].host_id)
            return Outcome(set(), {parcels[0].host_id: "what the database does not take"})
        # One of them holds what the database does not take: the others must not suffer by it.
        outcomes = [write([parcel]) for parcel in parcels]
        failed = {host_id: reason for outcome in outcomes for host_id, reason in outcome.failed.items()}
        return Outcome(set().union(*(outcome.lost for outcome in outcomes)), failed)
    return Outcome({parcel.host_id for parcel in parcels} - mine, {})


def _write_rows(parcels: Sequence[Parcel]) -> set[int]:
    """Write what became of domains and of libvirt; return the hosts that are still ours."""
    with hosts.writing_turn():
        mine = _still_ours(parcels)
        ours = [parcel for parcel in parcels if parcel.host_id in mine]
        services.report([_report(parcel) for parcel in ours])
        for parcel in ours:
            for event in parcel.events:
                if isinstance(event, HostEvent) and event.word == "libvirt.down":
                    hosts.note_libvirt_down(parcel.host_id, event.detail)
    return mine


def _report(parcel: Parcel) -> services.Report:
    """What the events come to: of several about one domain the last that knows it counts."""
    last: dict[UUID, DomainFacts | None] = {}
    for event in parcel.events:
        if isinstance(event, DomainEvent) and (event.removed or event.domain):
            last[event.uuid] = event.domain
        elif isinstance(event, OperationEvent) and event.domain:
            last[event.domain["uuid"]] = event.domain
    rows = [domain for domain in last.values() if domain is not None]
    gone = {domain_id for domain_id, domain in last.items() if domain is None}
    return services.Report(parcel.host_id, rows, gone)


def _settle_operations(parcels: Sequence[Parcel]) -> None:
    """Settle each in a transaction of its own: whoever carries an operation may write it at this moment.

    It comes before the rows: the one with a verdict may be older than what the events after it tell.
    """
    for parcel in parcels:
        for event in parcel.events:
            if isinstance(event, OperationEvent):
                with hosts.writing_turn():
                    if _still_ours([parcel]):
                        hosts.settle_report(parcel.host_id, event.document)


def _still_ours(parcels: Sequence[Parcel]) -> set[int]:
    return hosts.still_followed({parcel.host_id: parcel.generation for parcel in parcels})
