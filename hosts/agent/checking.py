"""What a host said, checked: what is not as the contract says is an error of the call."""

from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import BadPayload, ProtocolError

Found = TypeVar("Found")


def checked(check: Callable[[Any], Found], value: object) -> Found:
    """Return what a check of `payloads` makes of it. Raises ProtocolError."""
    try:
        return check(value)
    except BadPayload as error:
        raise ProtocolError(str(error)) from None
