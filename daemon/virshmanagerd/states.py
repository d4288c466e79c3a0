"""libvirt's integers for domain states, as words.

Source: virDomainState and the virDomain*Reason enumerations of libvirt. The
words are libvirt's own constants without their prefix, in lower case. A newer
libvirt may send a number that is not here yet: it becomes `unknown`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

UNKNOWN: Final = "unknown"

STATES: Final = (
    UNKNOWN,
    "running",
    "blocked",
    "paused",
    "shutdown",
    "shutoff",
    "crashed",
    "pmsuspended",
)

REASONS: Final = MappingProxyType(
    {
        "running": (
            UNKNOWN,
            "booted",
            "migrated",
            "restored",
            "from_snapshot",
            "unpaused",
            "migration_canceled",
            "save_canceled",
            "wakeup",
            "crashed",
            "postcopy",
            "postcopy_failed",
        ),
        "paused": (
            UNKNOWN,
            "user",
            "migration",
            "save",
            "dump",
            "ioerror",
            "watchdog",
            "from_snapshot",
            "shutting_down",
            "snapshot",
            "crashed",
            "starting_up",
            "postcopy",
            "postcopy_failed",
            "api_error",
        ),
        "shutdown": (UNKNOWN, "user"),
        "shutoff": (
            UNKNOWN,
            "shutdown",
            "destroyed",
            "crashed",
            "migrated",
            "saved",
            "failed",
            "from_snapshot",
            "daemon",
        ),
        "crashed": (UNKNOWN, "panicked"),
    }
)

# States in which a guest exists in memory: it has a screen, addresses and live XML.
ACTIVE: Final = frozenset({"running", "blocked", "paused", "shutdown", "pmsuspended"})
# States that do not tell: a guest that crashed is kept in memory where `on_crash` is `preserve`.
EITHER: Final = frozenset({UNKNOWN, "crashed"})


def state_word(state: int) -> str:
    """The word for a virDomainState, for example `running`."""
    return _word(STATES, state)


def in_memory(state: str, *, has_id: bool) -> bool:
    """Whether a guest exists in memory. Where its state does not tell, it does if libvirt gives it an id."""
    return state in ACTIVE or (state in EITHER and has_id)


def reason_word(state: int, reason: int) -> str:
    """The word for a reason; what a number means depends on the state."""
    return _word(REASONS.get(state_word(state), ()), reason)


def _word(words: tuple[str, ...], number: int) -> str:
    return words[number] if 0 <= number < len(words) else UNKNOWN
