"""What a watcher writes of the hosts that it follows.

A host is followed under a number, its generation, which grows when somebody begins to follow it. Who comes
with an older number writes nothing, however sure it is of its lease: it may have been stopped for a while, or
Redis, where the leases are, may have been emptied.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db.models import F, TextField
from django.db.models.functions import Cast
from django.utils import timezone

from ..choices import FOLLOWED_FOR, Trust
from ..errors import sentence
from ..models import Host, HostQuerySet
from .records import record, set_problem
from .turns import writing_turn

# What a daemon says that it can do, when it has a stream of events.
EVENTS = "events"
BAD_EVENTS = "bad_events"


class Whereabouts(NamedTuple):
    """Where a host is, and the generation under which it is followed."""

    address: str
    port: int
    generation: int


class Followable(NamedTuple):
    """An owned host that tells its events, and how many probes it has missed."""

    id: int
    uuid: UUID
    hostname: str
    address: str
    port: int
    missed_probes: int


def whereabouts() -> dict[int, Whereabouts]:
    """Return where every host is that may be followed: one query, of little, since it is asked every second.

    So the list of features is searched as text, and by the database.
    """
    rows = (
        Host.objects.spoken_to()
        .annotate(told=Cast("features", TextField()))
        .filter(told__contains=f'"{EVENTS}"')
    )
    found = rows.order_by().values_list("pk", "address", "port", "watch_generation")
    return {pk: Whereabouts(address, port, generation) for pk, address, port, generation in found}


def followables(host_ids: Collection[int]) -> list[Followable]:
    """Return what must be known of hosts to follow them: those first that answered their last probe."""
    rows = Host.objects.filter(pk__in=host_ids).order_by("missed_probes", "pk")
    return [Followable(*row) for row in rows.values_list(*Followable._fields)]


def follow(host_ids: Collection[int]) -> dict[int, int]:
    """Begin to follow these hosts; return their generations. Who followed them before writes no more."""
    with writing_turn():
        mine = list(_locked(host_ids).values_list("pk", flat=True))
        Host.objects.filter(pk__in=mine).update(watch_generation=F("watch_generation") + 1)
        return dict(Host.objects.filter(pk__in=mine).values_list("pk", "watch_generation"))


def still_followed(generations: Mapping[int, int]) -> set[int]:
    """Return those of the hosts (`{id: generation}`) that may be written, until the transaction ends."""
    rows = _locked(generations).values_list("pk", "watch_generation")
    return {pk for pk, generation in rows if generation == generations[pk]}


def note_alive(generations: Mapping[int, int]) -> set[int]:
    """The streams of these hosts show that they live: they need no probe.

    Return those that missed one all the same: what is shown of them is old until they are listed again.
    """
    now = timezone.now()
    with writing_turn():
        rows = _locked(generations).values_list("pk", "watch_generation", "missed_probes")
        missed = {pk: probes for pk, generation, probes in rows if generation == generations[pk]}
        well = [pk for pk, probes in missed.items() if not probes]
        Host.objects.filter(pk__in=well).update(watched_at=now, last_seen=now)
    return missed.keys() - set(well)


def is_followed(host: Host, now: datetime) -> bool:
    """Whether its stream has shown lately that the host lives, and is who it is: it needs no probe."""
    watched = host.watched_at
    return host.trust == Trust.OWNED and watched is not None and abs(now - watched) < FOLLOWED_FOR


def note_libvirt_down(host_id: int, detail: str) -> None:
    """The host lost its libvirt. The domains keep their last known state."""
    reason = sentence("libvirt_down", detail=detail or "-")
    host = Host.objects.get(pk=host_id)
    record(host, libvirt_alive=False, libvirt_error=detail, problem="libvirt_down", reason=reason)


def note_bad_events(host_id: int, generation: int, detail: str) -> None:
    """The host said on its stream what no daemon of ours says. Its probes go on."""
    with writing_turn():
        if still_followed({host_id: generation}):
            set_problem(Host.objects.get(pk=host_id), BAD_EVENTS, sentence(BAD_EVENTS, detail=detail))


def _locked(host_ids: Collection[int]) -> HostQuerySet:
    """These hosts, locked in one order, so that two who need several of them never wait for each other."""
    rows: HostQuerySet = Host.objects.spoken_to().select_for_update(no_key=True)
    return rows.filter(pk__in=host_ids).order_by("pk")
