"""How many connections may be open: when there are too many, the oldest that waits gives way.

Refusing the newest instead would let fifty idle connections lock everybody out.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar


class Member(Protocol):
    """What a crowd must know of a connection."""

    @property
    def source(self) -> str:
        """Where it comes from."""

    @property
    def busy(self) -> bool:
        """Whether a request of it is being answered."""


T = TypeVar("T", bound=Member)


class Crowd(Generic[T]):
    """Connections in the order of their arrival, with a cap for each source and one for all."""

    def __init__(self, *, total: int, per_source: int) -> None:
        self._total = total
        self._per_source = per_source
        self._all: dict[T, None] = {}
        self._by_source: dict[str, dict[T, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def members(self) -> list[T]:
        """Return the connections of this moment, the oldest first."""
        return list(self._all)

    def add(self, member: T) -> T | None:
        """Add a connection; return the one that must be closed for it, which is no member any more."""
        same = self._by_source.get(member.source, {})
        victim: T | None = None
        if len(same) >= self._per_source:
            victim = _first_waiting(same)
        elif len(self._all) >= self._total:
            victim = _first_waiting(self._all)
        if victim is not None:
            self.discard(victim)
        self._all[member] = None
        self._by_source.setdefault(member.source, {})[member] = None
        return victim

    def discard(self, member: T) -> None:
        """Remove a connection, if it is there."""
        if self._all.pop(member, self) is self:
            return
        same = self._by_source[member.source]
        del same[member]
        if not same:
            del self._by_source[member.source]


def _first_waiting(members: dict[T, None]) -> T:
    return next((member for member in members if not member.busy), next(iter(members)))
