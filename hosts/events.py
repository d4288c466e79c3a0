"""What daemons say on their stream of events, checked, as `payloads` does it with answers.

A message that does not have the shape of the contract raises BadPayload. A message of an unknown type is an
event too: it has its place in the sequence, and nothing else is known of it.
"""

import re
import uuid
from dataclasses import dataclass
from typing import Any, Final

from .errors import BadPayload
from .payloads import DomainFacts, domain_facts
from .untrusted import a_flag, a_size, a_text, a_uuid, an_object, parse_json

# Characters of an event. Only listings and statistics are longer: they tell of every domain of the host.
MAX_EVENT: Final = 256 * 2**10

DOMAIN_WORDS: Final = frozenset({"domain.lifecycle", "domain.changed", "domain.removed"})


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message: the daemon's epoch, and the number of its last event.

    `replayed`: the events after the one that was asked for follow. Otherwise what happened before is unknown.
    """

    epoch: str
    seq: int
    replayed: bool


@dataclass(frozen=True, slots=True)
class Stats:
    """`domain.stats`: measurements, without a place in the sequence. `data` is not checked any further."""

    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listing:
    """`listing`: the answer to `list`, named by its `id`. `data` is not checked any further."""

    id: int
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DomainEvent:
    """What became of a domain. `domain` is its row; None: it is gone (`removed`), or its row is not known."""

    epoch: str
    seq: int
    uuid: uuid.UUID
    removed: bool
    domain: DomainFacts | None


@dataclass(frozen=True, slots=True)
class OperationEvent:
    """An operation moved on. `domain` is the row that came with it; `document` is not checked any further."""

    epoch: str
    seq: int
    document: dict[str, Any]
    domain: DomainFacts | None


@dataclass(frozen=True, slots=True)
class HostEvent:
    """`word` is `host.changed`, `libvirt.up`, `libvirt.down`, `resync`, or one that is not known here."""

    epoch: str
    seq: int
    word: str
    detail: str


Event = DomainEvent | OperationEvent | HostEvent
Message = Hello | Stats | Listing | Event


def read_message(text: str | bytes) -> Message:
    """Check one message of a stream.

    Raises:
        BadPayload: naming what is not as the contract says.
    """
    if not isinstance(text, str):
        raise BadPayload("an event is no text")
    data = an_object(parse_json(text.encode()), "an event")
    word = data.get("type")
    if not isinstance(word, str):
        raise BadPayload("an event has no type")
    if word == "domain.stats":
        return Stats(data)
    if word == "listing":
        return Listing(a_size(data, "id"), data)
    if len(text) > MAX_EVENT:
        raise BadPayload(f"an event has more than {MAX_EVENT} characters")
    epoch, seq = _epoch(data), a_size(data, "seq")
    if word == "hello":
        return Hello(epoch, seq, a_flag(data, "replayed"))
    if word in DOMAIN_WORDS:
        return _domain_event(data, epoch, seq, removed=word == "domain.removed")
    if word == "operation.changed":
        document = an_object(data.get("operation"), "operation")
        row = an_object(document.get("result") or {}, "result").get("domain")
        return OperationEvent(epoch, seq, document, None if row is None else domain_facts(row))
    return HostEvent(epoch, seq, a_text(data, "type", 40), a_text(data, "detail", 500))


def _epoch(data: dict[str, Any]) -> str:
    epoch = data.get("epoch")
    # It is sent back as it came, so it is not cleaned but refused.
    if not isinstance(epoch, str) or not re.fullmatch(r"[\w.-]{1,64}", epoch, re.ASCII):
        raise BadPayload("epoch is no plain word")
    return epoch


def _domain_event(data: dict[str, Any], epoch: str, seq: int, *, removed: bool) -> DomainEvent:
    domain_id = a_uuid(data.get("uuid"), "uuid")
    row = None if removed else data.get("domain")
    domain = None if row is None else domain_facts(row)
    if domain is not None and domain["uuid"] != domain_id:
        raise BadPayload("an event has the row of another domain")
    return DomainEvent(epoch, seq, domain_id, removed, domain)
