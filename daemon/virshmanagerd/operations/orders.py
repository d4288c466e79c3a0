"""The body of ``PUT /v1/operations/{id}``, checked: from here on it has the shape of the contract."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from virshmanagerd.domainxml import DESCRIPTION, MAX_TAGS, TITLE, WORD
from virshmanagerd.text import UNSAFE
from virshmanagerd.web import Problem

LONGEST_SECONDS: Final = 7 * 86400
XML_BYTES: Final = 512 * 1024
LINES: Final = "\n\t"
NO_XML: Final = "\ufffe\uffff"  # these two cannot stand in XML, although they are no control characters

Args = dict[str, Any]


@dataclass(frozen=True)
class Order:
    """What somebody wants done. ``deadline`` in seconds from its arrival; ``journal_id`` may be ""."""

    verb: str
    target: Args
    args: Args
    precondition: Args
    deadline: float
    journal_id: str

    @property
    def fingerprint(self) -> str:
        """What makes two orders the same: all but their time. SHA-256, hex."""
        asked = [self.verb, self.target, self.args, self.precondition]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def read(body: Mapping[str, Any]) -> Order:
    """Check a body.

    Raises:
        Problem: 422 ``bad_operation``, with what is wrong.
    """
    verb = body.get("verb")
    if not isinstance(verb, str) or verb not in ARGS:
        raise _bad(f"there is no such verb: {str(verb)[:40]!r}")
    journal_id = body.get("journal_id") or ""
    if not isinstance(journal_id, str):
        raise _bad("journal_id must be a text")
    return Order(
        verb=verb,
        target=_target(body.get("target"), verb),
        args=ARGS[verb](_an_object(body.get("args"), "args")),
        precondition=_precondition(_an_object(body.get("precondition"), "precondition"), verb),
        deadline=_deadline(body.get("deadline")),
        journal_id=journal_id,
    )


def canonical_id(text: object) -> str | None:
    """A UUID as it is written everywhere, or None for what is no UUID."""
    try:
        return str(uuid.UUID(text)) if isinstance(text, str) else None
    except ValueError:
        return None


def _bad(detail: str) -> Problem:
    return Problem("bad_operation", 422, detail)


def _target(value: object, verb: str) -> Args:
    target = _an_object(value, "target")
    wanted = "host" if verb == "define" else "domain"
    if target.get("type") != wanted:
        raise _bad(f"the target of {verb} must be of the type {wanted}")
    if wanted == "host":
        return {"type": "host"}
    name = canonical_id(target.get("uuid"))
    if name is None:
        raise _bad("the target's uuid must be a UUID")
    return {"type": "domain", "uuid": name}


def _precondition(value: Args, verb: str) -> Args:
    if not value:
        return {}
    digest = value.get("xml_hash")
    known = digest is None or (isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest))
    if verb != "define" or value.keys() != {"xml_hash"} or not known:
        raise _bad("the precondition must be the xml_hash of a define: 64 hex digits, or null")
    return value


def _deadline(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _bad("deadline must be a number of seconds")
    if not 0 < value <= LONGEST_SECONDS:  # nor is NaN
        raise _bad(f"deadline must be above 0, and at most {LONGEST_SECONDS} seconds")
    return float(value)


def _an_object(value: object, name: str) -> Args:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _bad(f"{name} must be an object")
    return value


def _nothing(args: Args) -> Args:
    if args:
        raise _bad("this verb takes no args")
    return {}


def _autostart(args: Args) -> Args:
    if args.keys() != {"enabled"} or not isinstance(args["enabled"], bool):
        raise _bad("args must be enabled, true or false")
    return args


def _metadata(args: Args) -> Args:
    if not args or args.keys() - {"title", "description", "tags"}:
        raise _bad("args must be some of title, description and tags")
    if "title" in args:
        _check_text(args["title"], "title", TITLE)
    if "description" in args:
        _check_text(args["description"], "description", DESCRIPTION, allowed=LINES)
    if "tags" in args:
        _check_tags(args["tags"])
    return args


def _define(args: Args) -> Args:
    if args.keys() != {"xml"} or not isinstance(args["xml"], str):
        raise _bad("args must be xml, a text")
    if len(args["xml"].encode("utf-8", "surrogatepass")) > XML_BYTES:
        raise _bad(f"the XML must have at most {XML_BYTES} bytes")
    return args


def _check_tags(tags: object) -> None:
    if not isinstance(tags, list) or len(tags) > MAX_TAGS:
        raise _bad(f"tags must be a list of at most {MAX_TAGS} texts")
    for tag in tags:
        _check_text(tag, "a tag", WORD)
        if not tag.strip():
            raise _bad("a tag must not be empty")


def _check_text(text: object, name: str, limit: int, *, allowed: str = "") -> None:
    """Refuse what would not come back from libvirt as it was sent."""
    if not isinstance(text, str) or len(text) > limit:
        raise _bad(f"{name} must be a text of at most {limit} characters")
    if any(c not in allowed and (unicodedata.category(c) in UNSAFE or c in NO_XML) for c in text):
        raise _bad(f"{name} must not have control characters")


ARGS: Final[Mapping[str, Callable[[Args], Args]]] = MappingProxyType(
    {
        "start": _nothing,
        "shutdown": _nothing,
        "reboot": _nothing,
        "reset": _nothing,
        "destroy": _nothing,
        "suspend": _nothing,
        "resume": _nothing,
        "save": _nothing,
        "restore": _nothing,
        "autostart": _autostart,
        "undefine": _nothing,
        "metadata": _metadata,
        "define": _define,
    }
)
