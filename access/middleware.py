"""Pages are closed: to strangers they answer the login page, to those without rights 403."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.contrib.auth.middleware import LoginRequiredMiddleware as DjangoLoginRequiredMiddleware
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.functional import SimpleLazyObject
from django_htmx.http import HttpResponseClientRedirect
from rest_framework.permissions import SAFE_METHODS

from . import audit, proof
from .permissions import Rights, rights_of

# A user without rights may still leave, and look after what he signs in with.
OPEN_TO_EVERY_USER = frozenset(
    {
        *("account_logout", "account_change_password", "account_reauthenticate", "usersessions_list"),
        *("oidc-reauthenticate", "mfa_index", "mfa_reauthenticate", "mfa_reauthenticate_webauthn"),
        *("mfa_activate_totp", "mfa_deactivate_totp"),
        *("mfa_view_recovery_codes", "mfa_generate_recovery_codes"),
        *("mfa_list_webauthn", "mfa_add_webauthn", "mfa_edit_webauthn", "mfa_remove_webauthn"),
    }
)

View = Callable[..., HttpResponseBase]


class LoginRequiredMiddleware(DjangoLoginRequiredMiddleware):
    """Django's, plus: a page needs an administrator, unless it is open to grants and so decides by itself.

    Django's admin decides by no role of ours, and is for superusers alone. Its pages of users and groups ask
    for a fresh proof, since whoever is there gives rights and takes accounts.

    Views of the API are exempt, since they declare permissions of their own, and so are those marked
    `login_not_required`.
    """

    def process_request(self, request: HttpRequest) -> None:
        request.rights = SimpleLazyObject(lambda: rights_of(request.user))  # type: ignore[attr-defined]

    def process_view(
        self, request: HttpRequest, view_func: View, view_args: tuple[Any, ...], view_kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        answer: HttpResponseBase | None = super().process_view(request, view_func, view_args, view_kwargs)
        if answer is not None and "HX-Request" in request.headers:
            # A login page must not be put into the middle of another page.
            return HttpResponseClientRedirect(resolve_url(self.get_login_url(view_func)))
        if answer is not None or not getattr(view_func, "login_required", True):
            return answer
        name = request.resolver_match.view_name if request.resolver_match else ""
        if name not in OPEN_TO_EVERY_USER and not _is_let_in(request, view_func, name):
            raise PermissionDenied
        if name.startswith("admin:auth_") and isinstance(request.user, User):
            return proof.detour(request, request.user)
        return None


def _is_let_in(request: HttpRequest, view: View, name: str) -> bool:
    rights: Rights = rights_of(request.user)
    if name.startswith("admin:"):
        return bool(getattr(request.user, "is_superuser", False))
    return rights.administers or (bool(rights) and getattr(view, "open_to_grants", False))


class AuditMiddleware:
    """What is done while a request is answered is recorded as done by it; so is what it may not do."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with audit.serving(request):
            response = self.get_response(request)
            refused = response.status_code == HTTPStatus.FORBIDDEN and request.method not in SAFE_METHODS
            # Of strangers nothing is recorded but their logins: they could fill the disk.
            if refused and request.user.is_authenticated:
                audit.record_denial(request, "permission_denied")
            return response
