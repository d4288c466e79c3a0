"""Reading an owned host: its inventory and its domains, over mutual TLS, stored in one transaction."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from django.db.models import F
from django.utils import timezone

from .. import live
from ..agent import Agent, StreamedListing, agent_of
from ..choices import STALE_AFTER, STALE_AFTER_MISSED_PROBES, Trust
from ..errors import AgentError, OutsideRanges, ProblemAnswer, sentence
from ..models import Host, HostQuerySet
from ..payloads import DomainFacts, HostFacts
from ..signals import listing_received
from .records import announce, set_problem, write
from .turns import writing_turn
from .twins import TWINS
from .watching import BAD_EVENTS, is_followed

# What changes all the time, and is shown on the page of the host alone.
RESTLESS = frozenset({"load", "memory_free"})


@dataclass(frozen=True)
class RefreshOutcome:
    """How a refresh ended.

    `problem` is a stable word and `reason` its sentence; both are empty when all is well. `answered` says
    whether the host proved itself: it may do so and still have a problem.
    """

    answered: bool
    problem: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """What a host told. `domains` is None when libvirt did not answer: then the last listing stays.

    `asked_at` is when it was asked; what was learned since then is newer.
    """

    facts: HostFacts
    domains: list[DomainFacts] | None
    problem: str = ""
    reason: str = ""
    asked_at: datetime = field(default_factory=timezone.now)


def refresh(host: Host) -> RefreshOutcome:
    """Ask an owned host for its inventory and its domains, and store them.

    Never raises for what the host does: its answer, or its silence, is on the host and in the outcome.
    """
    if host.trust != Trust.OWNED:
        return RefreshOutcome(answered=False, problem="not_owned", reason=sentence("not_owned"))
    if host.duplicated:
        return RefreshOutcome(answered=False, problem=host.problem, reason=host.reason)
    return _keep(host, partial(ask, host))


def keep_listing(host_id: int, generation: int, told: dict[str, Any], asked_at: datetime) -> RefreshOutcome:
    """Store what a host told on its stream, of which it was asked then, as `refresh` does with its answers.

    A watcher gives the `generation` under which it follows the host; when that has passed, nothing is stored.
    """
    host = Host.objects.filter(pk=host_id, watch_generation=generation).first()
    if host is None:
        return RefreshOutcome(answered=False)
    return _keep(host, partial(read, StreamedListing(host.uuid, told), asked_at), generation=generation)


def _keep(host: Host, answer: Callable[[], Report], *, generation: int | None = None) -> RefreshOutcome:
    try:
        report = answer()
    except AgentError as error:
        miss(host, error, generation=generation)
        return RefreshOutcome(answered=False, problem=error.problem, reason=error.reason)
    store(host, report, generation=generation)
    return RefreshOutcome(answered=True, problem=report.problem, reason=report.reason)


def ask(host: Host) -> Report:
    """Read a host at its address. Raises as `read` does."""
    return read(agent_of(host, insist=True), timezone.now())


def read(teller: Agent | StreamedListing, asked_at: datetime) -> Report:
    """Read what a host tells of itself and of its domains.

    Raises:
        AgentError: when it gives no good answer. A libvirt that is down is one.
    """
    facts = teller.host()
    if facts["libvirt_alive"]:
        try:
            return Report(facts, teller.domains(), asked_at=asked_at)
        except ProblemAnswer as error:
            # What else the daemon says of its libvirt is shown as it is.
            return Report(facts, None, error.problem, error.reason)
    detail = facts["libvirt_error"] or "-"
    return Report(facts, None, "libvirt_down", sentence("libvirt_down", detail=detail))


def store(host: Host, report: Report, *, generation: int | None = None) -> None:
    """Store a report of an owned host, and pass its listing on, together or not at all."""
    now = timezone.now()
    values = _values(report.facts) | {"problem": report.problem, "reason": report.reason}
    if host.problem == BAD_EVENTS and not report.problem and generation is None:
        # Only a stream that is well again shows that its events are, too.
        del values["problem"], values["reason"]
    elif host.problem == TWINS and not report.problem:
        # Seen by comparing hosts, not by asking one.
        del values["problem"], values["reason"]
    changed = {name for name, value in values.items() if getattr(host, name) != value}
    fresh = changed - RESTLESS or _was_unwell(host)
    listed_before = host.listed_at
    if report.domains is not None:
        values["listed_at"] = now
    with writing_turn():
        rows = _still_spoken_to(host, generation)
        if not write(rows, host, **values, inventory_at=now, last_seen=now, missed_probes=0):
            return
        if report.domains is not None:
            listing_received.send(
                sender=Host,
                host=host,
                domains=report.domains,
                asked_at=report.asked_at,
                listed_before=listed_before,
                # Of one that is followed the stream tells what is new, and what went since it was asked.
                adds=generation is not None or not is_followed(host, report.asked_at),
            )
        if fresh:
            announce(host)
        elif changed:
            live.publish("host.changed", host.pk, f"host.{host.pk}")


def miss(host: Host, error: AgentError, *, generation: int | None = None) -> None:
    """The host gave no good answer: count that, and show why."""
    if not _still_spoken_to(host, generation).exists():
        return
    if not isinstance(error, OutsideRanges):
        Host.objects.filter(pk=host.pk).update(missed_probes=F("missed_probes") + 1)
        host.missed_probes += 1
        if host.missed_probes == STALE_AFTER_MISSED_PROBES:
            announce(host)
    set_problem(host, error.problem, error.reason)


def _still_spoken_to(host: Host, generation: int | None) -> HostQuerySet:
    """The row of an owned host, unless while it was asked a person retired it, or it turned out to be copied.

    Then what it says counts no more, and above all does not hide that verdict. Nor does what a watcher heard
    that does not follow it any more.
    """
    rows: HostQuerySet = Host.objects.spoken_to().filter(pk=host.pk)
    return rows if generation is None else rows.filter(watch_generation=generation)


def _was_unwell(host: Host) -> bool:
    """Whether the host was shown as stale or offline: its answer makes it online."""
    if host.last_seen is None or host.missed_probes >= STALE_AFTER_MISSED_PROBES:
        return True
    return timezone.now() - host.last_seen > STALE_AFTER


def _values(facts: HostFacts) -> dict[str, object]:
    """The facts under the names of the host's fields. Its identity is not among them: TLS proved that."""
    return {name: value for name, value in facts.items() if name != "uuid"}
