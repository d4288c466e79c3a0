"""What grants may name and quotas count, as the apps above tell it: access knows no host and no domain."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db.models import QuerySet

from .choices import Target


@dataclass(frozen=True)
class Kind:
    """`named(text)` are those that a person may mean by a name or a UUID."""

    every: Callable[[], QuerySet[Any]]
    named: Callable[[str], QuerySet[Any]]


_kinds: Final[dict[str, Kind]] = {}


def register(target: Target, kind: Kind) -> None:
    """Let grants be for what `kind` finds. Called in `ready()`."""
    _kinds[target] = kind


def things(target: str, ids: Collection[int]) -> dict[int, Any]:
    """The objects with these ids, in one query; those that were forgotten are left out."""
    return _kinds[target].every().in_bulk(list(ids)) if ids else {}


def named(target: str, text: str) -> list[Any]:
    """What a person may mean by a text. More than one is told by two: then it has to be said better."""
    return list(_kinds[target].named(text)[:2])


class Usage(NamedTuple):
    """What some domains take, as far as hosts tell: not how large their disks are. `memory` is bytes."""

    domains: int
    vcpus: int
    memory: int


_usage: Final[list[Callable[[QuerySet[Any, int]], Usage]]] = []


def register_usage(usage_of: Callable[[QuerySet[Any, int]], Usage]) -> None:
    """Let quotas count what the domains with some ids take, by `usage_of`. Called in `ready()`."""
    _usage[:] = [usage_of]


def usage(ids: QuerySet[Any, int]) -> Usage:
    """What the domains with these ids take together, in one query."""
    return _usage[0](ids)
