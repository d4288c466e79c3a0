"""`Idempotency-Key`: a write of the API that is sent again is answered again, and done once.

What was answered is kept for a day in Redis, encrypted with what only the caller has: it may hold a secret.
"""

import base64
import hashlib
from collections.abc import Callable
from typing import NamedTuple, TypedDict

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext_lazy as _

from .errors import PROBLEM_JSON, problem

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
MAX_KEY_LENGTH = 255
ANSWERS_LAST_SECONDS = 86400
# A server that died in the middle of a request must not refuse its repetition for long.
REQUESTS_LAST_SECONDS = 120


class Refusal(NamedTuple):
    type: str
    status: int
    detail: object


TOO_LONG = Refusal("invalid", 400, _("An Idempotency-Key has at most 255 characters."))
RUNNING = Refusal(
    "request_running", 409, _("The first request with this Idempotency-Key is still being worked on.")
)
REUSED = Refusal("idempotency_key_reused", 422, _("This Idempotency-Key was used for another request."))


class Kept(TypedDict):
    """`answer` is None while the first request runs; else the encrypted body of the answer."""

    request: str
    status: int
    content_type: str
    answer: bytes | None


def caller_of(request: HttpRequest) -> str:
    """What proves who asks: a token or a session. Empty for a stranger, who will be refused."""
    return request.headers.get("Authorization", "") or request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")


def digest(*parts: str | bytes) -> bytes:
    """SHA-256 over the parts, each with its length, so that no two lists of parts are alike."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big") + data)
    return total.digest()


class IdempotencyMiddleware:
    """Only answers that say "done" (2xx) are kept: what was refused may be tried again with the same key."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        key = request.headers.get("Idempotency-Key", "")
        caller = caller_of(request)
        if not (key and caller and request.method in WRITES and request.path.startswith("/api/")):
            return self.get_response(request)
        if len(key) > MAX_KEY_LENGTH:
            return refused(request, TOO_LONG)
        name = "idempotency:" + digest(caller, key).hex()
        asked = digest(request.method or "", request.get_full_path(), request.body).hex()
        box = Fernet(base64.urlsafe_b64encode(digest("answer", caller, key)))
        first = Kept(request=asked, status=0, content_type="", answer=None)
        if not cache.add(name, first, REQUESTS_LAST_SECONDS):
            return again(request, cache.get(name) or first, asked, box)
        return self._first(request, name, first, box)

    def _first(self, request: HttpRequest, name: str, kept: Kept, box: Fernet) -> HttpResponse:
        response = self.get_response(request)
        if 200 <= response.status_code < 300:  # noqa: PLR2004 -- RFC 9110, "successful"
            kept["status"], kept["content_type"] = (
                response.status_code,
                response.headers.get("Content-Type", ""),
            )
            kept["answer"] = box.encrypt(response.content)
            cache.set(name, kept, ANSWERS_LAST_SECONDS)
        else:
            cache.delete(name)
        return response


def again(request: HttpRequest, kept: Kept, asked: str, box: Fernet) -> HttpResponse:
    """Answer a repeated request as the first was answered."""
    if kept["request"] != asked:
        return refused(request, REUSED)
    if kept["answer"] is None:
        return refused(request, RUNNING)
    body = box.decrypt(kept["answer"])
    headers = {"Content-Type": kept["content_type"]} if kept["content_type"] else {}
    return HttpResponse(body, status=kept["status"], headers=headers | {"Idempotent-Replayed": "true"})


def refused(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    body = problem(type=refusal.type, status=refusal.status, detail=refusal.detail, instance=request.path)
    return JsonResponse(body, status=refusal.status, content_type=PROBLEM_JSON)
