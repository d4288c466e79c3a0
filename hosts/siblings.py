"""What the apps above know of hosts. They register it; hosts shows it without knowing them."""

from collections.abc import Callable, Collection
from typing import Any, Final

from django.db.models import QuerySet

from access.choices import Role
from access.permissions import EVERYTHING, Rights

DomainCounts = dict[str, int]
CountDomains = Callable[[Collection[int]], dict[int, DomainCounts]]

# The domains on which a role is had: rows with `pk` and `host`.
GrantedDomains = Callable[[Rights, Role], QuerySet[Any]]

# One each: domains has them.
_count: Final[list[CountDomains]] = []
_granted: Final[list[GrantedDomains]] = []


def register_domain_counts(count: CountDomains) -> None:
    """Let `count(host ids)` tell how many domains each has, by state and in `total`. Called in `ready()`."""
    _count[:] = [count]


def domain_counts(host_ids: Collection[int]) -> dict[int, DomainCounts]:
    """Return the numbers for every host asked for, in a fixed number of queries."""
    return _count[0](host_ids)


def register_granted_domains(granted: GrantedDomains) -> None:
    """Let `granted(rights, role)` tell on which domains a role is had. Called in `ready()`."""
    _granted[:] = [granted]


def is_granted_domain(rights: Rights, role: Role, key: int | str) -> bool:
    return _granted[0](rights, role).filter(pk=key).exists()


def ids_of_granted_domains(rights: Rights, role: Role, field: str = "pk") -> QuerySet[Any, int]:
    """The ids of the domains on which a role is had, or with `field` those of their hosts, for a query."""
    return _granted[0](rights, role).order_by().values_list(field, flat=True)


def ids_of_domains() -> QuerySet[Any, int]:
    """The ids of all domains that are there, for a query."""
    return ids_of_granted_domains(Rights(roles={EVERYTHING: Role.VIEWER}), Role.VIEWER)
