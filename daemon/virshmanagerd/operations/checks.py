"""Before anything is touched: whether a domain, as it is, allows a verb.

Each check returns what must be remembered to judge the verb after a crash, or None when its effect is there
already. It raises the DriverError that forbids the verb. The states decide, not libvirt's error codes: those
differ from one hypervisor to the next.
"""

from __future__ import annotations

from typing import Final

from virshmanagerd.driver import Facts, Stored
from virshmanagerd.driver.single import xml_hash
from virshmanagerd.errors import NoSuchDomain, WrongState, XmlChanged
from virshmanagerd.journal import Entry, Json
from virshmanagerd.operations.defining import Definition

RUNNING: Final = ("running", "blocked")
MAY_BE_SAVED: Final = (*RUNNING, "paused")


def start(facts: Facts | None, _entry: Entry) -> Json | None:
    """A domain that is off."""
    if there(facts).active:
        raise WrongState("the domain is running already")
    return {"active": False}


def restore(facts: Facts | None, _entry: Entry) -> Json | None:
    """A domain that is off, with a saved state."""
    if there(facts).active:
        raise WrongState("the domain is running already")
    if not stored(facts).managed_save:
        raise WrongState("the domain has no saved state")
    return {"active": False}


def shutdown(facts: Facts | None, _entry: Entry) -> Json | None:
    """A guest that runs. One that is off is what was wanted."""
    domain = there(facts)
    if not domain.active:
        return None
    if domain.state not in (*RUNNING, "shutdown"):
        raise WrongState(f"the domain is {domain.state}: its guest cannot react")
    return {"id": domain.id}


def reboot(facts: Facts | None, _entry: Entry) -> Json | None:
    """A guest that runs."""
    if there(facts).state not in RUNNING:
        raise WrongState("the domain is not running")
    return {}


def reset(facts: Facts | None, _entry: Entry) -> Json | None:
    """A guest in memory."""
    if not there(facts).active:
        raise WrongState("the domain is not running")
    return {}


def destroy(facts: Facts | None, _entry: Entry) -> Json | None:
    """A guest in memory. One that is off is what was wanted."""
    domain = there(facts)
    return {"id": domain.id} if domain.active else None


def suspend(facts: Facts | None, _entry: Entry) -> Json | None:
    """A guest that runs. One that is paused is what was wanted."""
    domain = there(facts)
    if domain.state == "paused":
        return None
    if domain.state not in RUNNING:
        raise WrongState("the domain is not running")
    return {}


def resume(facts: Facts | None, _entry: Entry) -> Json | None:
    """A guest that is paused. One that runs is what was wanted."""
    domain = there(facts)
    if domain.state in RUNNING:
        return None
    if domain.state != "paused":
        raise WrongState("the domain is not paused")
    return {}


def save(facts: Facts | None, _entry: Entry) -> Json | None:
    """A guest that runs or is paused, with a definition that outlives it."""
    domain, kept = there(facts), stored(facts)
    if not domain.active and kept.managed_save:
        return None
    if domain.state not in MAY_BE_SAVED:
        raise WrongState("the domain is not running")
    if not kept.persistent:
        raise WrongState("the domain is transient: it would be gone after saving")
    return {}


def autostart(facts: Facts | None, entry: Entry) -> Json | None:
    """A domain whose autostart is not what was wanted."""
    kept = stored(facts)
    if not kept.persistent:
        raise WrongState("the domain is transient: it cannot start with the host")
    return None if kept.autostart is entry.args["enabled"] else {}


def undefine(facts: Facts | None, _entry: Entry) -> Json | None:
    """A definition whose domain is off."""
    if there(facts).active:
        raise WrongState("the domain is running: force it off first")
    return {}


def metadata(facts: Facts | None, _entry: Entry) -> Json | None:
    """Any domain."""
    there(facts)
    return {}


def define(facts: Facts | None, entry: Entry) -> Json | None:
    """XML that can be read, over the definition that its writer has seen."""
    definition = Definition.of(entry)
    before = None if facts is None else xml_hash(stored(facts).xml)
    if "xml_hash" in entry.precondition and entry.precondition["xml_hash"] != before:
        raise XmlChanged("the domain's XML is not what it was when the change was written")
    return {"uuid": definition.uuid, "before": before}


def there(facts: Facts | None) -> Facts:
    """The facts of a domain that exists. Raises NoSuchDomain."""
    if facts is None:
        raise NoSuchDomain("no domain has this UUID")
    return facts


def stored(facts: Facts | None) -> Stored:
    """What is kept of a domain that exists, for verbs that ask for it. Raises NoSuchDomain."""
    kept = there(facts).stored
    if kept is None:
        raise TypeError("the verb does not ask for what is stored")
    return kept
