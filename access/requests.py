"""What a view of a page may count on."""

from django.contrib.auth.models import User
from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from .permissions import Rights


class PageRequest(HttpRequest):
    """A request with a user who is logged in, his rights, and htmx's headers: the middleware saw to them."""

    user: User
    rights: Rights
    htmx: HtmxDetails
