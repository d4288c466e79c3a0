import json
from collections.abc import Mapping
from typing import IO, Any

from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import JSONParser
from rest_framework.utils.json import strict_constant

MAX_BODY_BYTES = 1024 * 1024
MAX_DEPTH = 64


class TooLarge(APIException):
    status_code = 413
    default_code = "payload_too_large"
    default_detail = _("The request is larger than 1 MiB.")


class CappedJSONParser(JSONParser):
    """Strict JSON (RFC 8259) of at most 1 MiB and 64 levels: a hostile body costs a refusal, no memory."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,  # noqa: ARG002 -- DRF's signature
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002 -- as above
    ) -> Any:
        body = stream.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge
        # Levels are counted first, brackets in texts included: Python's parser would exhaust its stack.
        if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth(body) > MAX_DEPTH:
            raise ParseError(_("The JSON is nested too deeply."))
        try:
            data = json.loads(body.decode(), parse_constant=strict_constant)
        except ValueError as error:
            raise ParseError(_("This is not JSON: %(reason)s") % {"reason": error}) from None
        if b"\\u" in body and not _is_text(data):
            raise ParseError(_("A text holds half a character (a lone surrogate)."))
        return data


def _is_text(data: Any) -> bool:
    """Whether all texts can be encoded: what cannot could neither be stored nor quoted in an answer."""
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _depth(body: bytes) -> int:
    deepest = level = 0
    for byte in body:
        if byte in b"[{":
            level += 1
            deepest = max(deepest, level)
        elif byte in b"]}":
            level -= 1
    return deepest
