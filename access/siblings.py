"""What grants may name, as the apps above tell it: access knows neither hosts nor domains."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

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
