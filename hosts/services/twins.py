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


def note_twins() -> int:
    """Show it on each owned host that has a twin, and on no other any more; return how many have."""
    having = _having_twins()
    for host in Host.objects.owned().filter(problem=TWINS).exclude(pk__in=[host.pk for host in having]):
        set_problem(host, "")
    for host in having:
        if host.problem in {"", TWINS}:
            set_problem(host, TWINS, sentence(TWINS, uuid=host.libvirt_uuid))
    return len(having)


def _having_twins() -> list[Host]:
    by_uuid: dict[UUID | None, list[Host]] = defaultdict(list)
    for host in Host.objects.owned().filter(libvirt_uuid__isnull=False):
        by_uuid[host.libvirt_uuid].append(host)
    return [host for hosts in by_uuid.values() if len(hosts) > 1 for host in hosts]
