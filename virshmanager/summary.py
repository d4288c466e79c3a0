"""The numbers of the overview, of what a user may see, in a fixed number of queries."""

from typing import Any, TypedDict

from django.contrib.auth.models import User
from django.db.models import Count, QuerySet, Sum

from access.permissions import is_administrator
from discovery.choices import ACTIVE_STATES, Kind
from discovery.models import Address, Crawl, Range
from domains.choices import DomainState
from domains.models import Domain, DomainQuerySet
from hosts.choices import GIVEN_UP, Status, Trust
from hosts.models import Host, HostQuerySet


class HostNumbers(TypedDict):
    """`total` leaves out what was denied or retired; the statuses are those of owned hosts."""

    total: int
    trust: dict[str, int]
    status: dict[str, int]
    libvirt_down: int


class DomainNumbers(TypedDict):
    """The states are the last ones known; of `stale` domains the host does not tell them now."""

    total: int
    missing: int
    stale: int
    state: dict[str, int]


class Summary(TypedDict):
    """Sizes in bytes. `cpus`, `memory` and `memory_free` are sums over owned hosts that told them.

    What a user may not see is not counted: discovery is 0 to all but administrators.
    """

    hosts: HostNumbers
    domains: DomainNumbers
    cpus: int
    memory: int
    memory_free: int
    ranges: int
    addresses: dict[str, int]
    active_crawls: int


def host_numbers(seen: HostQuerySet) -> HostNumbers:
    trust = dict.fromkeys(Trust.values, 0)
    status = dict.fromkeys(Status.values, 0)
    told: QuerySet[Any, Any] = seen.with_status().order_by()
    for row in told.values("trust", "status").annotate(n=Count("pk")):
        trust[row["trust"]] += row["n"]
        if row["trust"] == Trust.OWNED:
            status[row["status"]] += row["n"]
    gone = sum(trust[word] for word in GIVEN_UP)
    down = seen.owned().filter(libvirt_alive=False).count()
    return HostNumbers(total=sum(trust.values()) - gone, trust=trust, status=status, libvirt_down=down)


def domain_numbers(seen: DomainQuerySet) -> DomainNumbers:
    counts = seen.present().count_by_state()
    state = {value: counts[value] for value in DomainState.values}
    untold = seen.count_untold()
    return DomainNumbers(total=counts.total(), missing=untold["missing"], stale=untold["stale"], state=state)


def summary_for(user: User) -> Summary:
    """The numbers of what `user` may see."""
    return summary(
        Host.objects.visible_to(user), Domain.objects.visible_to(user), discovery=is_administrator(user)
    )


def summary(hosts: HostQuerySet, domains: DomainQuerySet, *, discovery: bool = True) -> Summary:
    sums = hosts.owned().aggregate(cpus=Sum("cpus"), memory=Sum("memory"), memory_free=Sum("memory_free"))
    addresses = dict.fromkeys(Kind.values, 0)
    if discovery:
        for row in Address.objects.order_by().values("kind").annotate(n=Count("pk")):
            addresses[row["kind"]] = row["n"]
    return Summary(
        hosts=host_numbers(hosts),
        domains=domain_numbers(domains),
        cpus=sums["cpus"] or 0,
        memory=sums["memory"] or 0,
        memory_free=sums["memory_free"] or 0,
        ranges=Range.objects.count() if discovery else 0,
        addresses=addresses,
        active_crawls=Crawl.objects.filter(state__in=ACTIVE_STATES).count() if discovery else 0,
    )
