"""The numbers of the overview, in a fixed number of queries."""

from typing import Any, TypedDict

from django.db.models import Count, QuerySet, Sum

from discovery.choices import ACTIVE_STATES, Kind
from discovery.models import Address, Crawl, Range
from domains.choices import DomainState
from domains.models import Domain
from hosts.choices import Status, Trust
from hosts.models import Host


class HostNumbers(TypedDict):
    """`total` leaves out what was denied or retired; the statuses are those of owned hosts."""

    total: int
    trust: dict[str, int]
    status: dict[str, int]
    libvirt_down: int


class DomainNumbers(TypedDict):
    total: int
    missing: int
    state: dict[str, int]


class Summary(TypedDict):
    """Sizes in bytes. `cpus`, `memory` and `memory_free` are sums over owned hosts that told them."""

    hosts: HostNumbers
    domains: DomainNumbers
    cpus: int
    memory: int
    memory_free: int
    ranges: int
    addresses: dict[str, int]
    active_crawls: int


def host_numbers() -> HostNumbers:
    trust = dict.fromkeys(Trust.values, 0)
    status = dict.fromkeys(Status.values, 0)
    told: QuerySet[Any, Any] = Host.objects.with_status().order_by()
    for row in told.values("trust", "status").annotate(n=Count("pk")):
        trust[row["trust"]] += row["n"]
        if row["trust"] == Trust.OWNED:
            status[row["status"]] += row["n"]
    gone = trust[Trust.DENIED] + trust[Trust.RETIRED]
    down = Host.objects.owned().filter(libvirt_alive=False).count()
    return HostNumbers(total=sum(trust.values()) - gone, trust=trust, status=status, libvirt_down=down)


def domain_numbers() -> DomainNumbers:
    state = dict.fromkeys(DomainState.values, 0)
    for row in Domain.objects.present().order_by().values("state").annotate(n=Count("pk")):
        state[row["state"]] = row["n"]
    missing = Domain.objects.filter(missing_since__isnull=False).count()
    return DomainNumbers(total=sum(state.values()), missing=missing, state=state)


def summary() -> Summary:
    sums = Host.objects.owned().aggregate(
        cpus=Sum("cpus"), memory=Sum("memory"), memory_free=Sum("memory_free")
    )
    addresses = dict.fromkeys(Kind.values, 0)
    for row in Address.objects.order_by().values("kind").annotate(n=Count("pk")):
        addresses[row["kind"]] = row["n"]
    return Summary(
        hosts=host_numbers(),
        domains=domain_numbers(),
        cpus=sums["cpus"] or 0,
        memory=sums["memory"] or 0,
        memory_free=sums["memory_free"] or 0,
        ranges=Range.objects.count(),
        addresses=addresses,
        active_crawls=Crawl.objects.filter(state__in=ACTIVE_STATES).count(),
    )
