"""What a view of a page may count on."""

from django.contrib.auth.models import User
from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails


class PageRequest(HttpRequest):
    """A request with a user who is logged in, and with htmx's headers: the middleware saw to both."""

    user: User
    htmx: HtmxDetails
