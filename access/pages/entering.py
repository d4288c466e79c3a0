"""Setup and recovery, one's password, and signing in at a provider."""

from typing import Any

from allauth.account import views
from allauth.account.internal.flows.login import record_authentication
from allauth.socialaccount.helpers import render_authentication_error
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView, OAuth2View
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.models import User
from django.contrib.auth.views import PasswordResetConfirmView
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from .. import provider, services
from ..errors import SetupClosed
from ..forms import FirstAdministratorForm
from ..requests import PageRequest


@login_not_required
@never_cache
@sensitive_post_parameters("password1", "password2")
@require_http_methods(["GET", "HEAD", "POST"])
def setup(request: HttpRequest, secret: str) -> HttpResponse:
    """A wrong, spent or expired link is 404, as is any link once a user exists."""
    if not services.setup_is_open(secret):
        raise Http404
    form = FirstAdministratorForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "account/setup.html", {"form": form})
    try:
        user = services.create_first_administrator(
            secret=secret, username=form.cleaned_data["username"], password=form.cleaned_data["password1"]
        )
    except SetupClosed:
        raise Http404 from None
    login(request, user, backend="allauth.account.auth_backends.AuthenticationBackend")
    _note_sign_in(request, user)
    return redirect("overview")


def _note_sign_in(request: HttpRequest, user: User) -> None:
    """What allauth notes of its own sign-ins: how he proved who he is, and his session."""
    record_authentication(request, user, method="password")
    UserSession.objects.create_from_request(request)


class Recover(PasswordResetConfirmView):
    """Where `manage.py recover` leads: whoever has the link chooses a password, and is signed in.

    A wrong, spent or old link is 404. The secret in it goes at once into the session, and out of the address.
    """

    template_name = "account/recover.html"
    token_generator = services.recovery_tokens
    success_url = reverse_lazy("overview")
    post_reset_login = True
    post_reset_login_backend = "allauth.account.auth_backends.AuthenticationBackend"

    def get_user(self, uidb64: str) -> User | None:
        user = super().get_user(uidb64)
        return user if isinstance(user, User) and user.is_active else None

    def get_context_data(self, **more: Any) -> dict[str, Any]:
        if not self.validlink:
            raise Http404
        return super().get_context_data(**more)

    def form_valid(self, form: "SetPasswordForm[User]") -> HttpResponse:
        with transaction.atomic():
            services.recover(form.user)
            answer = super().form_valid(form)
        _note_sign_in(self.request, form.user)
        return answer


def change_password(request: PageRequest) -> HttpResponse:
    """Of a user who has one here; allauth would let others make one, beside whoever vouches for them."""
    if not request.user.has_usable_password():
        raise Http404
    answer: HttpResponse = views.password_change(request)
    return answer


@login_not_required
@never_cache
@require_POST
def sign_in_at_provider(request: HttpRequest) -> HttpResponse:
    """Send the browser to the OpenID Connect provider; 404 without one."""
    return _at_provider(request, OAuth2LoginView)


@login_not_required
@never_cache
@require_safe
def back_from_provider(request: HttpRequest) -> HttpResponse:
    return _at_provider(request, OAuth2CallbackView)


def _at_provider(request: HttpRequest, step: type[OAuth2View]) -> HttpResponse:
    exchange = provider.Adapter(request, provider.PROVIDER_ID)
    try:
        answer: HttpResponse = step.adapter_view(exchange)(request)
    except SocialApp.DoesNotExist:
        raise Http404 from None
    except OAuth2Error as error:
        answer = render_authentication_error(request, exchange.get_provider(), exception=error)
    return answer


@require_safe
def reauthenticate_at_provider(request: PageRequest) -> HttpResponse:
    """Where somebody without a password here proves that it is he."""
    if settings.VIRSHMANAGER_OIDC is None:
        raise Http404
    context = {"provider": settings.VIRSHMANAGER_OIDC, "next": request.GET.get("next", "")}
    return render(request, "account/reauthenticate_provider.html", context)
