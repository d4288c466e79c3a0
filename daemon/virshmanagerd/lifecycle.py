"""libvirt's integers for events in the life of a domain, as words.

Source: virDomainEventType and the virDomainEvent*DetailType enumerations of libvirt. The words are
libvirt's own constants without their prefix, in lower case.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from virshmanagerd.states import UNKNOWN

EVENTS: Final = (
    "defined",
    "undefined",
    "started",
    "suspended",
    "resumed",
    "stopped",
    "shutdown",
    "pmsuspended",
    "crashed",
)

DETAILS: Final = MappingProxyType(
    {
        "defined": ("added", "updated", "renamed", "from_snapshot"),
        "undefined": ("removed", "renamed"),
        "started": ("booted", "migrated", "restored", "from_snapshot", "wakeup"),
        "suspended": (
            "paused",
            "migrated",
            "ioerror",
            "watchdog",
            "restored",
            "from_snapshot",
            "api_error",
            "postcopy",
            "postcopy_failed",
        ),
        "resumed": ("unpaused", "migrated", "from_snapshot", "postcopy", "postcopy_failed"),
        "stopped": ("shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from_snapshot"),
        "shutdown": ("finished", "guest", "host"),
        "pmsuspended": ("memory", "disk"),
        "crashed": ("panicked", "crashloaded"),
    }
)


def words(event: int, detail: int) -> tuple[str, str] | None:
    """The words for an event and its detail, for example `stopped`, `destroyed`; None for a newer event."""
    if not 0 <= event < len(EVENTS):
        return None
    details = DETAILS[EVENTS[event]]
    return EVENTS[event], details[detail] if 0 <= detail < len(details) else UNKNOWN
