"""The verbs of a domain, and the states that allow them: one table, for pages, API and journal alike.

A verb is offered and accepted only in a state that allows it, the last known one. Source of the states:
libvirt's virDomainState, and what virDomainCreate and the others accept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from .choices import DomainState as S

RUNNING: Final = frozenset({S.RUNNING, S.BLOCKED})
IN_MEMORY: Final = RUNNING | {S.PAUSED, S.SHUTDOWN, S.PMSUSPENDED}
OFF: Final = frozenset({S.SHUTOFF, S.CRASHED})
ANY: Final = frozenset(S)


@dataclass(frozen=True)
class Verb:
    """What a verb needs, and how it is shown.

    `doing` is what is said while it goes on. `deadline` is in seconds. `lost` says what is lost by it; with
    it the pages ask first. A `persistent` verb is refused of a transient domain, a `saved` one needs a saved
    state. `icon` is of the sprite. A verb that is not a `button` has a form of its own.
    """

    name: str
    label: str | Promise
    doing: str | Promise
    icon: str
    states: frozenset[str]
    deadline: int = 60
    persistent: bool = False
    saved: bool = False
    lost: str | Promise = ""
    button: bool = True


_TABLE = (
    Verb("start", _("Start"), _("Starting…"), "player-play", OFF, persistent=True),
    Verb("shutdown", _("Shut down"), _("Shutting down…"), "power", RUNNING, deadline=300),
    Verb("reboot", _("Reboot"), _("Rebooting…"), "refresh", RUNNING),
    Verb("suspend", _("Pause"), _("Pausing…"), "player-pause", RUNNING),
    Verb("resume", _("Resume"), _("Resuming…"), "player-play", frozenset({S.PAUSED})),
    Verb(
        "save", _("Save"), _("Saving…"), "device-floppy", RUNNING | {S.PAUSED}, deadline=3600, persistent=True
    ),
    Verb("restore", _("Restore"), _("Restoring…"), "history", OFF, deadline=600, persistent=True, saved=True),
    Verb(
        "reset",
        _("Reset"),
        _("Resetting…"),
        "rotate-2",
        RUNNING | {S.PAUSED},
        lost=_("The guest is reset at once, as by a button: what it had not written to its disks is lost."),
    ),
    Verb(
        "destroy",
        _("Force off"),
        _("Forcing off…"),
        "plug-off",
        IN_MEMORY | {S.CRASHED},
        lost=_("The guest loses its power at once: what it had not written to its disks is lost."),
    ),
    Verb(
        "undefine",
        _("Delete"),
        _("Deleting…"),
        "trash",
        OFF,
        persistent=True,
        lost=_("Its definition and its saved state are deleted on the host. Its disks stay."),
    ),
    Verb("autostart", _("Autostart"), _("Setting autostart…"), "bolt", ANY, persistent=True, button=False),
    Verb("metadata", _("Title, description, tags"), _("Changing its texts…"), "edit", ANY, button=False),
)
VERBS: Final[Mapping[str, Verb]] = {verb.name: verb for verb in _TABLE}


def allows(verb: Verb, *, state: str, active: bool, persistent: bool, has_managed_save: bool) -> bool:
    """Whether a domain that is so may be told this; `active`: it is in memory."""
    return (
        fits(verb, state=state, active=active)
        and (persistent or not verb.persistent)
        and (has_managed_save or not verb.saved)
    )


def fits(verb: Verb, *, state: str, active: bool) -> bool:
    """Whether the state allows it. A crashed domain that is in memory still has to be forced off first."""
    return state in verb.states and not (active and verb.states == OFF)
