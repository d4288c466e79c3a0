"""The pages of setup and recovery, signing in at a provider, API tokens, and the audit."""

from typing import Any

from allauth.account import views
from allauth.account.internal.flows.login import record_authentication
from allauth.socialaccount.helpers import render_authentication_error
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView, OAuth2View
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.models import User
from django.contrib.auth.views import PasswordResetConfirmView
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse, reverse_lazy
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from .. import proof, provider, services
from ..choices import Action, Result
from ..errors import SetupClosed
from ..exporting import streamed
from ..filters import AuditFilter
from ..forms import FirstAdministratorForm, TokenForm
from ..listing import listing
from ..models import ApiToken, AuditEntry
from ..permissions import open_to_grants
from ..requests import PageRequest

# What the form above the table asks for; other filters come from links, and stay.
FIELDS_OF_THE_FORM = frozenset({"search", "actor", "action", "result", "target", "after", "before"})


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


@require_safe
@open_to_grants
def tokens(request: PageRequest) -> HttpResponse:
    return render(request, "access/tokens.html", {"form": TokenForm(), "tokens": _tokens_of(request)})


@never_cache
@require_POST
@open_to_grants
def create_token(request: PageRequest) -> HttpResponse:
    """The answer shows the token, this once."""
    if detour := proof.detour(request, request.user, back=reverse("tokens")):
        return detour
    form = TokenForm(request.POST)
    context: dict[str, object] = {"form": form}
    if form.is_valid():
        token, text = services.create_token(user=request.user, **form.cleaned_data)
        context = {"form": TokenForm(), "created": token, "text": text}
    context["tokens"] = _tokens_of(request)
    return render(request, "access/tokens.html", context, status=422 if form.errors else 200)


@require_POST
@open_to_grants
def delete_token(request: PageRequest, pk: int) -> HttpResponse:
    token = get_object_or_404(_tokens_of(request), pk=pk)
    token.delete()
    messages.success(request, _("The token %(name)s was deleted.") % {"name": token.name})
    return redirect("tokens")


def _tokens_of(request: PageRequest) -> QuerySet[ApiToken]:
    """A person sees and ends his own tokens."""
    own: QuerySet[ApiToken] = ApiToken.objects.filter(user=request.user)
    return own


@require_safe
def audit(request: PageRequest) -> HttpResponse:
    """Who did what, the newest first."""
    found = listing(request, AuditFilter, AuditEntry.objects.all(), orderings={"at"}, default="-at")
    shown = [name for name in AuditFilter.base_filters if name not in FIELDS_OF_THE_FORM]
    context = {
        "section": "audit",
        "list": found,
        "ordering": found.ordering,
        "entries": found.page.object_list,
        "actions": Action.choices,
        "results": Result.choices,
        "filters": request.GET,
        "kept": [
            (name, value) for name in [*shown, "ordering"] for value in request.GET.getlist(name) if value
        ],
    }
    return render(request, "access/audit.html", context)


@require_safe
def export_audit(request: PageRequest) -> HttpResponseBase:
    """The rows that the address asks for, as a file."""
    filters = AuditFilter(request.GET, queryset=AuditEntry.objects.all(), request=request)
    if not filters.is_valid():
        return HttpResponseBadRequest(_("A filter in the address is not known."))
    return streamed(request, filters.qs)
