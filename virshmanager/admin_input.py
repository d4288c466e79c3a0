"""Hostile addresses and forms in the admin, whose code is Django's: refused, where it would fail."""

import logging
from collections.abc import Callable

from django.core.exceptions import ValidationError
from django.db import DataError
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from .errors import bad_request

logger = logging.getLogger(__name__)


class AdminInputMiddleware:
    """Django's admin builds queries of what an address says: what no column can hold is a bad request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        meant = isinstance(error, OverflowError | ValueError | ValidationError | DataError)
        if not meant or not request.path.startswith(reverse("admin:index")):
            return None
        logger.warning("The admin refused %s: %s", request.path, error)
        return bad_request(request, error)
