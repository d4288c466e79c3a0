"""What the apps above know of hosts. They register it; hosts shows it without knowing them."""

from collections.abc import Callable, Collection
from typing import Any

from django.db.models import QuerySet

from access.choices import Role
from access.permissions import Rights

DomainCounts = dict[str, int]
CountDomains = Callable[[Collection[int]], dict[int, DomainCounts]]

# The domains on which a role is had: rows with `pk` and `host`.
GrantedDomains = Callable[[Rights, Role], QuerySet[Any]]

_counters: list[CountDomains] = []
_granted: list[GrantedDomains] = []


def register_domain_counts(count: CountDomains) -> None:
    """Let `count(host ids)` tell how many domains each has, by state and in `total`. Called in `ready()`."""
    _counters.append(count)


def domain_counts(host_ids: Collection[int]) -> dict[int, DomainCounts]:
    """Return the numbers for every host asked for, in a fixed number of queries."""
    counts: dict[int, DomainCounts] = {host_id: {} for host_id in host_ids}
    for count in _counters:
        counts.update(count(host_ids))
    return counts


def register_granted_domains(granted: GrantedDomains) -> None:
    """Let `granted(rights, role)` tell on which domains a role is had. Called in `ready()`."""
    _granted.append(granted)


def is_granted_domain(rights: Rights, role: Role, key: int | str) -> bool:
    return any(granted(rights, role).filter(pk=key).exists() for granted in _granted)


def ids_of_granted_domains(rights: Rights, role: Role, field: str = "pk") -> QuerySet[Any, int] | list[int]:
    """The ids of the domains on which a role is had, or with `field` those of their hosts, for a query."""
    return _granted[0](rights, role).order_by().values_list(field, flat=True) if _granted else []
