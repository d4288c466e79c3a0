"""Who is it that sits there? What cannot be taken back, or gives rights away, needs a proof that is fresh.

A proof is a password, a code or a passkey, given at the login or asked for since. A session that somebody
left open, or that was stolen, has none after a while. A program with a token is nobody who could be asked:
its scope says what it may do, and making it took a proof.
"""

import time
from typing import TYPE_CHECKING, Final

from allauth.account.adapter import get_adapter
from allauth.account.authentication import get_authentication_records
from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from django_htmx.http import HttpResponseClientRedirect
from rest_framework.exceptions import PermissionDenied

if TYPE_CHECKING:  # the module of views loads the authentication, and so this one, by the settings
    from rest_framework.request import Request

# What is done by these is gone, or is given away.
PROVEN: Final = frozenset(
    {
        *("undefine", "retire", "create_token", "create_user", "create_grant"),
        *("enable_user", "put_into_groups", "rename_group"),
    }
)


class ReauthenticationRequired(PermissionDenied):
    default_code = "reauthentication_required"
    default_detail = _("Confirm at %(page)s that it is you, and ask again: your last proof is too old.")

    def __init__(self) -> None:
        super().__init__(self.default_detail % {"page": reverse("account_reauthenticate")})


def is_fresh(request: HttpRequest, user: User) -> bool:
    """Whether this session has shown lately that it is its user's."""
    records = get_authentication_records(request, user)
    return bool(records) and time.time() - records[-1]["at"] < settings.ACCOUNT_REAUTHENTICATION_TIMEOUT


def demand(request: "Request", user: User, verb: str) -> None:
    """Raise ReauthenticationRequired if this needs a fresh proof, and the session of a request has none."""
    if verb in PROVEN and not is_fresh(request._request, user):
        raise ReauthenticationRequired


def detour(request: HttpRequest, user: User, *, back: str = "") -> HttpResponse | None:
    """Lead a page's request to where its user proves himself, and then back; None if that is not needed.

    Nothing that was posted is done behind his back after the proof: he is led to the question again, which
    is at the same address or at `back`.
    """
    if is_fresh(request, user):
        return None
    ways = get_adapter().get_reauthentication_methods(user)
    page = ways[0]["url"] if ways else reverse("account_reauthenticate")
    address = f"{page}?{urlencode({REDIRECT_FIELD_NAME: back or request.get_full_path()})}"
    if "HX-Request" in request.headers:  # a fragment must not be put into the middle of another page
        return HttpResponseClientRedirect(address)
    return HttpResponseRedirect(address)
