"""Hosts whose libvirts call themselves by one UUID, as machines made from one image or board do.

They are used all the same. But libvirt takes the other for itself, and migrates nothing between the two.
"""

from collections import defaultdict
from typing import Final
from uuid import UUID

from ..errors import sentence
from ..models import Host
from .records import set_problem

TWINS: Final = "duplicate_libvirt_uuid"
MOST_NAMED: Final = 3


def note_twins() -> int:
    """Show it on each owned host that has a twin, and on no other any more; return how many have."""
    having = _twins()
    for host in Host.objects.owned().filter(problem=TWINS).exclude(pk__in=[host.pk for host in having]):
        set_problem(host, "")
    for host, others in having.items():
        if host.problem in {"", TWINS}:
            set_problem(host, TWINS, _sentence(host, others))
    return len(having)


def _twins() -> dict[Host, list[Host]]:
    """Each owned host that has twins, with these."""
    by_uuid: dict[UUID | None, list[Host]] = defaultdict(list)
    for host in Host.objects.owned().filter(libvirt_uuid__isnull=False):
        by_uuid[host.libvirt_uuid].append(host)
    alike = [hosts for hosts in by_uuid.values() if len(hosts) > 1]
    return {host: [other for other in hosts if other != host] for hosts in alike for host in hosts}


def _sentence(host: Host, others: list[Host]) -> str:
    named = ", ".join(f"{other} ({other.address})" for other in others[:MOST_NAMED])
    more = f" (+{len(others) - MOST_NAMED})" if len(others) > MOST_NAMED else ""
    return sentence(TWINS, uuid=host.libvirt_uuid, others=named + more)
