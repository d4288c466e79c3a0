"""After a crash, or a lost connection: what became of a verb that was begun.

An observation looks, and changes nothing. It raises the DriverError that is the verdict.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from virshmanagerd import domainxml
from virshmanagerd.driver import Facts
from virshmanagerd.driver.single import xml_hash
from virshmanagerd.errors import WrongState, XmlChanged
from virshmanagerd.journal import Entry, Json
from virshmanagerd.operations.checks import stored, there
from virshmanagerd.operations.defining import Definition

Check = Callable[[Facts | None, Entry], Json | None]
Observe = Callable[[Facts | None, Entry], "Seen"]


class Seen(enum.Enum):
    """What an observation says."""

    APPLIED = "its effect is there"
    ABSENT = "its effect is not there: the verb may be repeated within the deadline"
    PENDING = "its effect may still come"
    UNTOLD = "nothing can tell"


def converges(check: Check) -> Observe:
    """Observe by the check of a verb that sets a state: what is not so yet may be set again."""

    def observe(facts: Facts | None, entry: Entry) -> Seen:
        return Seen.APPLIED if check(facts, entry) is None else Seen.ABSENT

    return observe


def started(facts: Facts | None, entry: Entry) -> Seen:
    """A start, or a restoring. It was off before: if it is in memory now, then by this or as if by it."""
    if there(facts).active:
        return Seen.APPLIED
    if entry.verb == "restore" and not stored(facts).managed_save:
        raise WrongState("the domain is off, and has no saved state any more")
    return Seen.ABSENT


def stopped(facts: Facts | None, entry: Entry) -> Seen:
    """A shutdown: that the guest of then is gone."""
    return Seen.APPLIED if _gone(facts, entry) else Seen.PENDING


def destroyed(facts: Facts | None, entry: Entry) -> Seen:
    """A forcing off. Another domain id: somebody has started it again, and that one is left alone."""
    return Seen.APPLIED if _gone(facts, entry) else Seen.ABSENT


def untold(_facts: Facts | None, _entry: Entry) -> Seen:
    """A reboot or a reset leaves no trace."""
    return Seen.UNTOLD


def described(facts: Facts | None, entry: Entry) -> Seen:
    """Title, description and tags, as they are read."""
    found = domainxml.summary(domainxml.parse(stored(facts).xml))
    said = {"title": found["title"] or "", "description": found["description"] or "", "tags": found["tags"]}
    wanted = {name: _as_read(value) for name, value in entry.args.items()}
    return Seen.APPLIED if all(said[name] == value for name, value in wanted.items()) else Seen.ABSENT


def undefined(facts: Facts | None, _entry: Entry) -> Seen:
    """An undefining. A guest that somebody has started meanwhile must not lose its definition."""
    if facts is None or not stored(facts).persistent:
        return Seen.APPLIED
    if facts.active:
        raise WrongState("the domain was started meanwhile: it keeps its definition")
    return Seen.ABSENT


def defined(facts: Facts | None, entry: Entry) -> Seen:
    """A definition. XML that is neither what was there nor what was sent is somebody else's."""
    if (None if facts is None else xml_hash(stored(facts).xml)) == entry.remembered["before"]:
        return Seen.ABSENT
    if facts is None or not Definition.of(entry).agrees(stored(facts).xml):
        raise XmlChanged("the domain's XML was changed by somebody else meanwhile")
    return Seen.APPLIED


def _as_read(value: str | list[str]) -> str | list[str]:
    return value.strip() if isinstance(value, str) else list(dict.fromkeys(tag.strip() for tag in value))


def _gone(facts: Facts | None, entry: Entry) -> bool:
    """Whether the guest of the remembered id is no more. Ids begin again with each boot of the host."""
    return facts is None or not facts.active or facts.id != entry.remembered["id"] or entry.rebooted
