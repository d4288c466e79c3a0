"""The audit as JSON Lines, read a piece at a time: it may be longer than memory."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Final

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.utils.encoders import JSONEncoder

from .models import AuditEntry
from .serializers import AuditEntrySerializer

JSON_LINES: Final = "application/jsonl"
ROWS: Final = 1000

Rows = QuerySet[AuditEntry]


def pieces(rows: Rows) -> Iterator[str]:
    """The rows that are chained, in their order, as texts of up to a thousand lines."""
    last = 0
    while found := _after(rows, last):
        last, text = found
        yield text


async def _pieces(rows: Rows) -> AsyncIterator[str]:
    last = 0
    while found := await sync_to_async(_after)(rows, last):
        last, text = found
        yield text


def _after(rows: Rows, last: int) -> tuple[int, str] | None:
    """The lines after a number, and the number of the last of them."""
    found = list(rows.filter(sequence__gt=last).order_by("sequence")[:ROWS])
    if not found:
        return None
    shown = AuditEntrySerializer(found, many=True).data
    text = "".join(f"{json.dumps(row, cls=JSONEncoder, separators=(',', ':'))}\n" for row in shown)
    return found[-1].sequence or 0, text


def streamed(request: HttpRequest | Request, rows: Rows) -> StreamingHttpResponse:
    """The answer that a browser saves as a file."""
    plain = request._request if isinstance(request, Request) else request
    # An ASGI server would wait for all of what is not asynchronous.
    content = _pieces(rows) if isinstance(plain, ASGIRequest) else pieces(rows)
    name = f"audit-{timezone.now():%Y-%m-%d}.jsonl"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(content, content_type=JSON_LINES, headers=headers)
