"""Reading JSON and text of somebody who may lie: strict types, ranges and lengths, no control characters.

Each function returns a plain value or raises BadPayload, naming the field.
"""

import json
import re
import uuid
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar

from .errors import BadPayload

MAX_INTEGER: Final = 2**63 - 1
# The longest listing has a third of that; 8 MiB of empty lists would take 200 MB.
MOST_VALUES: Final = 2**19

# C0 and C1 controls, lone surrogates (no UTF-8), line separators, marks that turn the writing direction, and
# two that XML cannot hold.
_CONTROLS = "\x00-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff"
_UNWANTED = re.compile(f"[{_CONTROLS}]")
_UNWANTED_IN_PARAGRAPHS = re.compile(f"(?![\n\t])[{_CONTROLS}]")

Item = TypeVar("Item")


def parse_json(body: bytes) -> object:
    """Read strict JSON (RFC 8259).

    Raises:
        BadPayload: when it is not JSON, holds NaN or a name twice, has more than MOST_VALUES values, or is
            nested too deeply to be read.
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise BadPayload(f"more than {MOST_VALUES} values")
    try:
        return json.loads(body.decode(), parse_constant=_no_constant, object_pairs_hook=_an_object_of)
    except (ValueError, RecursionError):
        raise BadPayload("no JSON") from None


def _an_object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers of an object that has a name twice would read different things."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _no_constant(word: str) -> NoReturn:
    raise ValueError(word)


def clean(text: str, limit: int) -> str:
    """Return `text` on one line, without control characters, at most `limit` characters."""
    return _UNWANTED.sub("", text[: 4 * limit])[:limit].strip()


def clean_paragraphs(text: str, limit: int) -> str:
    """As `clean`, but lines stay lines."""
    return _UNWANTED_IN_PARAGRAPHS.sub("", text[: 4 * limit])[:limit].strip()


def an_object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadPayload(f"{where} is no object")
    return value


def a_list(data: dict[str, Any], field: str, limit: int, read: Callable[[Any], Item]) -> list[Item]:
    value = data.get(field)
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > limit:
        raise BadPayload(f"{field} is no list of at most {limit}")
    return [read(item) for item in value]


def a_text(data: dict[str, Any], field: str, limit: int = 255) -> str:
    value = data.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadPayload(f"{field} is no text")
    return clean(value, limit)


def an_integer(data: dict[str, Any], field: str, high: int = MAX_INTEGER) -> int | None:
    value = data.get(field)
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= high:
        raise BadPayload(f"{field} is no number from 0 to {high}")
    return value


def a_size(data: dict[str, Any], field: str, high: int = MAX_INTEGER) -> int:
    value = an_integer(data, field, high)
    if value is None:
        raise BadPayload(f"{field} is missing")
    return value


def a_flag(data: dict[str, Any], field: str) -> bool:
    value = data.get(field, False)
    if not isinstance(value, bool):
        raise BadPayload(f"{field} is neither true nor false")
    return value


def a_uuid(value: object, where: str) -> uuid.UUID:
    """Read a UUID in its one canonical form: 36 characters, lower-case, with dashes."""
    try:
        found = uuid.UUID(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or str(found) != value:
        raise BadPayload(f"{where} is no UUID")
    return found


def text_item(value: object, limit: int = 64) -> str:
    if not isinstance(value, str):
        raise BadPayload("a list of texts holds something else")
    return clean(value, limit)
