"""May this address be dialled? The owner of the ranges registers the answer; until then it is no."""

from collections.abc import Callable

Guard = Callable[[str], bool]

_guards: list[Guard] = []


def register(guard: Guard) -> None:
    """Let `guard(ip)` decide whether an address lies in an enabled range. Called from an app's `ready()`."""
    _guards.append(guard)


def may_dial(ip: str) -> bool:
    return any(guard(ip) for guard in _guards)
