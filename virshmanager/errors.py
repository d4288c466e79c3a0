"""Every refusal of the server in one form: a problem (RFC 9457) for programs, a page for people.

`type` is a bare stable word; docs/api.md lists them all. What an outage of the database or of Redis breaks is
503, so that a client knows to try again; 500 is a defect of ours.
"""

import errno
import logging
import sys
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import TemplateDoesNotExist, loader
from django.utils.translation import gettext, gettext_lazy
from django_htmx.http import HttpResponseClientRefresh
from django_htmx.middleware import HtmxDetails
from django_redis.exceptions import ConnectionInterrupted
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.serializers import as_serializer_error
from rest_framework.views import exception_handler

from discovery.errors import NoCrawl
from domains.errors import DomainError
from hosts import errors as hosts_errors

logger = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_SECONDS = 5


class Outage(NamedTuple):
    type: str
    detail: Any


DATABASE_GONE = Outage(
    "database_unavailable",
    gettext_lazy("The database does not answer, is locked or is full. Nothing was changed."),
)
REDIS_GONE = Outage(
    "redis_unavailable",
    gettext_lazy("Redis does not answer. What needs it was not done; what is stored is kept."),
)
DISK_FULL = Outage("disk_full", gettext_lazy("The server's disk is full. Nothing was changed."))


def outage_of(error: BaseException | None) -> Outage | None:
    """Tell which outage of ours `error` comes from, if any."""
    if isinstance(error, OperationalError | InterfaceError):
        return DATABASE_GONE
    if isinstance(error, RedisError | ConnectionInterrupted | BrokerError):
        return REDIS_GONE
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return DISK_FULL
    return None


# What a host, a domain or a range, or its state, refuses. The first line that fits counts.
STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (DomainError, 409),
    (NoCrawl, 409),
    (hosts_errors.NotPossible, 409),
    (hosts_errors.KeyReused, 422),
    (hosts_errors.OutsideRanges, 409),
    (hosts_errors.TimedOut, 504),
    (hosts_errors.RetryLater, 503),
    (hosts_errors.GivenUp, 409),
    (hosts_errors.AgentError, 502),
)
# Answers of a daemon that mean the same when the server gives them.
PASSED_ON = frozenset({404, 409, 422, 501, 503, 504})


def status_of(error: Exception) -> int | None:
    """The status for an error of our own trees; None for any other."""
    if isinstance(error, hosts_errors.ProblemAnswer) and error.status in PASSED_ON:
        return error.status
    return next((status for kind, status in STATUSES if isinstance(error, kind)), None)


def problem(
    *,
    type: str,  # noqa: A002 -- the name in RFC 9457
    status: int,
    detail: object,
    instance: str,
    **more: object,
) -> dict[str, object]:
    title = type.replace("_", " ").capitalize()
    return {
        "type": type,
        "title": title,
        "status": status,
        "detail": str(detail),
        "instance": instance,
        **more,
    }


def problem_response(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Answer `error` of an API view as a problem; None lets it become a 500. (DRF's EXCEPTION_HANDLER.)"""
    request = context["request"]
    response = _outage(error, request.path) or _refusal(error, request.path) or _rest(error, context)
    if response is not None and getattr(request, "accepted_renderer", JSONRenderer).format != "api":
        # A view that answers images or XML has renderers that cannot show a problem.
        request.accepted_renderer, request.accepted_media_type = JSONRenderer(), "application/json"
        response.content_type = PROBLEM_JSON
    return response


def _outage(error: Exception, path: str) -> Response | None:
    if (outage := outage_of(error)) is None:
        return None
    logger.error("%s at %s: %s", outage.type, path, error)
    return _later(problem(type=outage.type, status=503, detail=outage.detail, instance=path))


def _refusal(error: Exception, path: str) -> Response | None:
    if (status := status_of(error)) is None:
        return None
    word = getattr(error, "problem", "not_possible")
    more = getattr(error, "more", {})
    return _later(problem(type=word, status=status, detail=error, instance=path, **more))


def _later(body: dict[str, object]) -> Response:
    status: Any = body["status"]
    return Response(body, status=status, headers=_headers(status))


def _headers(status: int) -> dict[str, str]:
    """When to come again, where that helps."""
    return {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}


def _rest(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's own errors, and Django's that DRF understands."""
    if isinstance(error, DjangoValidationError):
        error = ValidationError(as_serializer_error(error))
    response = exception_handler(error, dict(context))
    if response is not None:
        path = context["request"].path
        response.data = problem(instance=path, status=response.status_code, **_told(error, response))
    return response


def _told(error: Exception, response: Response) -> dict[str, Any]:
    """The type and the words of a refusal that DRF understands."""
    if isinstance(error, ValidationError):
        return {
            "type": "invalid",
            "detail": gettext("The request is not valid."),
            "errors": _by_field(error.detail),
        }
    if isinstance(error, APIException):
        return {"type": error.default_code, "detail": error.detail}
    kind = "not_found" if response.status_code == HTTPStatus.NOT_FOUND else "permission_denied"
    return {"type": kind, "detail": response.data["detail"]}


def _by_field(detail: Any) -> dict[str, Any]:
    return dict(detail) if isinstance(detail, Mapping) else {"non_field_errors": detail}


def _answer(request: HttpRequest, kind: str, status: int, detail: object) -> HttpResponse:
    """A problem below /api/, elsewhere the page named after the status. Neither touches the database."""
    headers = _headers(status)
    if request.path.startswith("/api/"):
        body = problem(type=kind, status=status, detail=detail, instance=request.path)
        return JsonResponse(body, status=status, content_type=PROBLEM_JSON, headers=headers)
    try:
        text = loader.render_to_string(f"{status}.html", {"detail": detail})
    except TemplateDoesNotExist:
        return HttpResponse(
            f"{detail}\n", status=status, content_type="text/plain; charset=utf-8", headers=headers
        )
    return HttpResponse(text, status=status, headers=headers)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 -- Django's handlers
    return _answer(request, "invalid", 400, gettext("The request is not valid."))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 -- as above
    return _answer(request, "permission_denied", 403, gettext("You were not granted the right to do this."))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 -- as above
    return _answer(
        request,
        "csrf_failed",
        403,
        gettext("This form was too old, or came from elsewhere. Load the page again."),
    )


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 -- as above
    if _is_open_page(request):
        # It would go on showing what is gone.
        return HttpResponseClientRefresh()
    return _answer(request, "not_found", 404, gettext("There is nothing here."))


def _is_open_page(request: HttpRequest) -> bool:
    """Whether a page in a browser asks for itself, to show what is so now."""
    htmx: HtmxDetails | None = getattr(request, "htmx", None)
    return htmx is not None and urlsplit(htmx.current_url_abs_path or "").path == request.path


def server_error(request: HttpRequest) -> HttpResponse:
    """Django calls this while the error is being handled, so the reason can still be seen."""
    if outage := outage_of(sys.exc_info()[1]):
        return _answer(request, outage.type, 503, outage.detail)
    return _answer(
        request, "internal_error", 500, gettext("Something went wrong on the server. It was logged.")
    )
