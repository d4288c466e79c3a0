"""What a row of a table of domains shows: the domain, its verbs, and the operation it waits for.

A page of 100 rows is drawn in a few milliseconds, so a row is made ready here and its template is short.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple

from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from access.permissions import Rights
from access.requests import PageRequest
from access.verbs import SEE
from hosts.choices import OPEN_STATES, OperationState, TargetType
from hosts.models import Operation

from .. import services
from ..models import Domain, DomainQuerySet
from ..verbs import VERBS, Verb

# The verbs that a row offers at once; all others are in its menu.
LIKELY: Final = ("resume", "start", "shutdown")
SHOWN_IN_ROW: Final = (
    *("name", "title", "tags", "state", "vcpus", "memory", "autostart", "persistent", "has_managed_save"),
    "libvirt_id",
    *("missing_since", "host__hostname", "host__address", "host__trust", "host__listed_at"),
)
# How long a row tells that its last operation came to nothing.
FAILURE_SHOWN: Final = timedelta(minutes=10)
TROUBLE: Final = frozenset({OperationState.FAILED, OperationState.EXPIRED, OperationState.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Row:
    """`at` and `host_at` are the addresses of its page and its host's, empty if that may not be seen.

    `pending` is the operation that goes on, `failed` the last one, if it came to nothing a while ago. `verbs`
    are those offered as buttons. `live` are the events that change the row. `cpu` is of the last minutes, per
    cent.
    """

    domain: Domain
    at: str
    host_at: str
    verbs: Sequence[Verb]
    pending: Operation | None
    failed: Operation | None
    live: str
    cpu: list[float | None] | None


class Roots(NamedTuple):
    """The addresses of the two tables, which all addresses of a row begin with."""

    domains: str
    hosts: str


def shown(request: PageRequest) -> DomainQuerySet:
    return Domain.objects.visible_to(request.user).with_stale().select_related("host")


def listed(request: PageRequest) -> DomainQuerySet:
    """As `shown`, with what a row needs and no more: a host alone has forty columns, some of them JSON."""
    return shown(request).only(*SHOWN_IN_ROW)


def rows_of(domains: Collection[Domain], rights: Rights) -> list[Row]:
    """The rows of `domains` for who has these rights, in a fixed number of queries."""
    keys = [domain.pk for domain in domains]
    operations, cpu = last_operations(keys), services.sparklines(keys)
    roots = Roots(reverse("domains"), reverse("hosts"))
    return [_row(domain, roots, rights, operations.get(domain.pk), cpu.get(domain.pk)) for domain in domains]


def _row(
    domain: Domain,
    roots: Roots,
    rights: Rights,
    operation: Operation | None,
    cpu: list[float | None] | None,
) -> Row:
    pending = operation if operation and operation.is_open else None
    live = f"domain.changed:{domain.pk} host.changed:{domain.host_id}"
    return Row(
        domain=domain,
        at=f"{roots.domains}{domain.pk}/",
        host_at=f"{roots.hosts}{domain.host_id}/" if rights.allow(SEE, domain.host) else "",
        # While one goes on, the next is a decision for the menu, not for a quick hand.
        verbs=[] if pending else likely(domain, rights),
        pending=pending,
        failed=operation if operation and operation.state in TROUBLE else None,
        live=f"{live} operation.changed:{pending.pk}" if pending else live,
        cpu=cpu,
    )


def likely(domain: Domain, rights: Rights) -> list[Verb]:
    allowed = services.actions_of(domain, rights)
    return [VERBS[name] for name in LIKELY if name in allowed]


def last_operations(domain_ids: Collection[int]) -> dict[int, Operation]:
    """The last operation of each domain that has one open or of late. An open one counts before any other."""
    recent = Q(state__in=OPEN_STATES) | Q(created_at__gte=timezone.now() - FAILURE_SHOWN)
    found = Operation.objects.filter(recent, target_type=TargetType.DOMAIN, target_id__in=domain_ids)
    last: dict[int, Operation] = {}
    for operation in found.order_by("created_at", "id").only("id", "target_id", "verb", "state", "progress"):
        target = operation.target_id or 0
        if operation.is_open or target not in last or not last[target].is_open:
            last[target] = operation
    return last
