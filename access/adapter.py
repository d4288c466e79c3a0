"""What allauth asks us."""

import base64
import logging
from typing import Any, cast

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY, get_authentication_records
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialLogin
from allauth.socialaccount.providers.base import AuthError
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.models import UserSession
from cryptography.fernet import Fernet
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, Group, User
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from . import audit, guessing
from .choices import Action
from .models import DirectoryUser
from .provider import Distrusted

logger = logging.getLogger(__name__)


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth has no types
    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002 -- allauth's signature
        """Nobody makes an account for himself: the first comes from the setup link, others from the admin."""
        return False

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count this guess at a password; raises ValidationError when there were too many."""
        name = guessing.alike(credentials.get("username", ""))
        self.take_back = guessing.count(request, f"password of {name}")
        if self.take_back is None:
            raise self.validation_error("too_many_login_attempts")

    def authenticate(self, request: HttpRequest, **credentials: Any) -> AbstractBaseUser | None:
        user: AbstractBaseUser | None = super().authenticate(request, **credentials)
        if user and self.take_back:
            self.take_back()
        return user

    def get_reauthentication_methods(self, user: AbstractBaseUser | AnonymousUser) -> list[dict[str, str]]:
        """By which it can be proved anew who it is. allauth knows of no password but our own."""
        methods: list[dict[str, str]] = super().get_reauthentication_methods(user)
        if DirectoryUser.objects.filter(pk=user.pk).exists():
            page = reverse("account_reauthenticate")
            return [{"id": "reauthenticate", "description": _("Use your password"), "url": page}, *methods]
        provider = cast("Any", settings.VIRSHMANAGER_OIDC)
        if provider and SocialAccount.objects.filter(user_id=user.pk).exists():
            named = _("Sign in at %(provider)s again") % {"provider": provider.name}
            return [*methods, {"id": "oidc", "description": named, "url": reverse("oidc-reauthenticate")}]
        return methods

    def respond_user_inactive(self, request: HttpRequest, user: AbstractBaseUser) -> HttpResponse:  # noqa: ARG002 -- allauth's signature
        return render(request, "403.html", {"detail": _("This account was deactivated.")}, status=403)

    def post_login(
        self, request: HttpRequest, user: User, *, signal_kwargs: dict[str, Any] | None, **more: Any
    ) -> HttpResponse:
        vouched: SocialLogin | None = (signal_kwargs or {}).get("sociallogin")
        if vouched:
            claims = vouched.account.extra_data
            _date_proof(request, user, claims["id_token"].get("auth_time"))
            _follow_groups(user, claims["userinfo"])
        answer: HttpResponse = super().post_login(request, user, signal_kwargs=signal_kwargs, **more)
        return answer


def _date_proof(request: HttpRequest, user: User, auth_time: object) -> None:
    """A provider may let somebody in without asking him: his proof is as old as it says, else too old."""
    records = get_authentication_records(request, user)
    for entry in records:
        if entry["method"] == "socialaccount":
            entry["at"] = min(entry["at"], auth_time) if isinstance(auth_time, int | float) else 0
    request.session[AUTHENTICATION_METHODS_SESSION_KEY] = records


def _follow_groups(user: User, claims: dict[str, Any]) -> None:
    """Put a user into those of our groups that the provider names, and into no other."""
    claim = cast("Any", settings.VIRSHMANAGER_OIDC).groups_claim
    if claim:
        told = claims.get(claim)
        names = [name for name in told if isinstance(name, str)] if isinstance(told, list) else []
        user.groups.set(Group.objects.filter(name__in=names))


class ProviderAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]  # as above
    """Whom the provider knows has an account of his own here, and no right until it is granted."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:  # noqa: ARG002 -- allauth's signature
        return True

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:  # noqa: ARG002 -- as above
        """No account is found by an address: neither to be taken over, nor to stand in the way."""
        sociallogin.email_addresses = []

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: object,  # noqa: ARG002 -- as above
        error: str | None = None,
        exception: Exception | None = None,
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002 -- as above
    ) -> None:
        """Lead back to the sign-in page, which says so. Why is for the log, not what the provider sent."""
        why = exception if isinstance(exception, Distrusted) else type(exception).__name__
        logger.warning("A sign-in by the OpenID Connect provider was refused (%s): %s", error, why)
        if error == AuthError.CANCELLED:
            messages.info(request, _("You did not sign in."))
        else:
            messages.error(request, _("Signing in there did not work. Try again; the server's log says why."))
        raise ImmediateHttpResponse(redirect("account_login"))


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # as above
    """Secrets of authenticator apps and recovery codes are sealed: the database alone gives none away."""

    def encrypt(self, text: str) -> str:
        return _seal().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return _seal().decrypt(encrypted_text.encode()).decode()

    def generate_authenticator_name(self, user: User, type: Authenticator.Type) -> str:  # noqa: A002 -- its signature
        number = Authenticator.objects.filter(user=user, type=type).count() + 1
        return _("Passkey %(number)d") % {"number": number}

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        entity: dict[str, str] = super().get_public_key_credential_rp_entity()
        return entity | {"name": "VirshManager"}


class SessionsAdapter(DefaultUserSessionsAdapter):  # type: ignore[misc]  # as above
    def end_sessions(self, sessions: list[UserSession]) -> None:
        """End them all, and record how many of whom: what is open in them ends within two seconds."""
        with transaction.atomic():
            super().end_sessions(sessions)
            if sessions:
                audit.record(Action.SESSIONS_END, sessions[0].user, detail={"sessions": len(sessions)})


def _seal() -> Fernet:
    """By a key of its own, made of the secret key in the state folder."""
    key = salted_hmac("access.adapter.SecondFactorAdapter", "", algorithm="sha256").digest()
    return Fernet(base64.urlsafe_b64encode(key))
