"""What allauth asks us."""

import base64
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest
from django.urls import reverse
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from . import guessing
from .models import DirectoryUser


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
        return methods


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


def _seal() -> Fernet:
    """By a key of its own, made of the secret key in the state folder."""
    key = salted_hmac("access.adapter.SecondFactorAdapter", "", algorithm="sha256").digest()
    return Fernet(base64.urlsafe_b64encode(key))
