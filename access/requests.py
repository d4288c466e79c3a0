"""What a view of a page may count on, and what it reads of a form."""

import re

from django.contrib.auth.models import User
from django.http import HttpRequest, QueryDict
from django_htmx.middleware import HtmxDetails

from .permissions import Rights


class PageRequest(HttpRequest):
    """A request with a user who is logged in, his rights, and htmx's headers: the middleware saw to them."""

    user: User
    rights: Rights
    htmx: HtmxDetails


def keys_in(form: QueryDict, name: str, *, digits: int = 18) -> list[int]:
    """The keys of rows that a form names; what has more digits than their column holds is left out."""
    a_key = re.compile(f"[0-9]{{1,{digits}}}").fullmatch
    return [int(key) for key in form.getlist(name) if a_key(key)]


def key_in(form: QueryDict, name: str) -> int | None:
    """The key of the one row that it names; None when it names none."""
    return next(reversed(keys_in(form, name)), None)
