"""`Idempotency-Key`: a write of the API that is sent again is answered again, and done once.

What was answered is kept for a day in Redis, encrypted with what only the caller has: it may hold a secret.
Routes that accept operations keep their keys in the database, with the operation: they work without Redis.
A view says so by `own_keys`, the names of its actions that do.
"""

import base64
import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict

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


def caller_of(request: HttpRequest) -> tuple[str, str]:
    """What proves who asks: a token or a session. Both are empty for a stranger, who will be refused.

    Which one counts, the view decides: what is no token may come from a proxy, and be the same for all.
    """
    return request.headers.get("Authorization", ""), request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")


def digest(*parts: str | bytes) -> bytes:
    """SHA-256 over the parts, each with its length, so that no two lists of parts are alike."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big") + data)
    return total.digest()


class Claim(NamedTuple):
    """The first request with its key, which is being worked on."""

    name: str
    kept: Kept
    box: Fernet

    def close(self, response: HttpResponse) -> None:
        """Keep what was done; forget what was refused."""
        if not 200 <= response.status_code < 300:  # noqa: PLR2004 -- RFC 9110, "successful"
            cache.delete(self.name)
            return
        done = Kept(
            request=self.kept["request"],
            status=response.status_code,
            content_type=response.headers.get("Content-Type", ""),
            answer=self.box.encrypt(response.content),
        )
        cache.set(self.name, done, ANSWERS_LAST_SECONDS)


# The attribute of a request that holds its Claim.
CLAIM = "_idempotency_claim"


class IdempotencyMiddleware:
    """Only answers that say "done" (2xx) are kept: what was refused may be tried again with the same key."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        claim: Claim | None = getattr(request, CLAIM, None)
        if claim is not None:
            claim.close(response)
        return response

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        key = request.headers.get("Idempotency-Key", "")
        caller = caller_of(request)
        method = request.method or ""
        if not (key and any(caller) and method in WRITES and request.path.startswith("/api/")):
            return None
        if len(key) > MAX_KEY_LENGTH:
            return refused(request, TOO_LONG)
        if keeps_own_keys(view, method):
            return None
        name = "idempotency:" + digest(*caller, key).hex()
        asked = digest(method, request.get_full_path(), request.body).hex()
        box = Fernet(base64.urlsafe_b64encode(digest("answer", *caller, key)))
        first = Kept(request=asked, status=0, content_type="", answer=None)
        if not cache.add(name, first, REQUESTS_LAST_SECONDS):
            answer = again(request, cache.get(name) or first, asked, box)
            return let_in(request, view, args, kwargs, answer)
        setattr(request, CLAIM, Claim(name, first, box))
        return None


def keeps_own_keys(view: Callable[..., Any], method: str) -> bool:
    """Whether the view looks for the key itself: `own_keys` of its class names what is called."""
    action = getattr(view, "actions", {}).get(method.lower(), method.lower())
    return action in getattr(getattr(view, "cls", None), "own_keys", ())


def let_in(request: HttpRequest, view: Any, args: Any, kwargs: Any, answer: HttpResponse) -> HttpResponse:
    """Answer by the view itself, with `answer` in place of what it does.

    Who was let in when he asked first may have been shut out since: that is the view's to say, as ever.
    """
    repeated: Any = view.cls(**view.initkwargs)
    repeated.action_map = getattr(view, "actions", {})
    setattr(repeated, str(request.method).lower(), lambda *_args, **_kwargs: answer)
    repeated.setup(request, *args, **kwargs)
    response: HttpResponse = repeated.dispatch(request, *args, **kwargs)
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
