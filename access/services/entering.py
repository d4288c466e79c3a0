"""How people get in at first, or again: the setup link, the link of who is locked out, and automation."""

import hashlib
import secrets
from datetime import timedelta

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from .. import audit
from ..choices import Action
from ..errors import SetupClosed
from ..models import SetupLink
from .people import active_user

SETUP_LINK_LIFE = timedelta(hours=24)
AUTOMATION_USER = "admin"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def create_setup_link() -> str:
    """Return the address of the setup page, good for one use in 24 hours. An earlier link ends.

    Raises SetupClosed when a user exists.
    """
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        if User.objects.exists():
            raise SetupClosed
        SetupLink.objects.all().delete()
        SetupLink.objects.create(digest=_digest(secret), expires_at=timezone.now() + SETUP_LINK_LIFE)
        audit.record(Action.SETUP_LINK_CREATE)
    return str(settings.PUBLIC_URL) + reverse("setup", args=[secret])


def setup_is_open(secret: str) -> bool:
    return SetupLink.objects.valid().filter(digest=_digest(secret)).exists() and not User.objects.exists()


def create_first_administrator(*, secret: str, username: str, password: str) -> User:
    """Spend the link and create the administrator, both or neither.

    Raises SetupClosed when the link is wrong, spent or expired, or when a user exists.
    """
    with transaction.atomic():
        # Of two that post the same link at once, the database lets only one delete it.
        spent, _ = SetupLink.objects.valid().filter(digest=_digest(secret)).delete()
        if not spent or User.objects.exists():
            raise SetupClosed
        SetupLink.objects.all().delete()
        return User.objects.create_superuser(username, password=password)


class RecoveryTokens(PasswordResetTokenGenerator):
    """A token ends with the password and the last sign-in that it was made of, and after 10 minutes."""

    key_salt = "access.services.RecoveryTokens"


recovery_tokens = RecoveryTokens()


def create_recovery_link(username: str) -> str:
    """Return the address where a user chooses a password, once and within 10 minutes, and is signed in.

    Raises NoSuchUser when no active user has this name.
    """
    with transaction.atomic():
        user = active_user(username)
        audit.record(Action.RECOVERY_LINK_CREATE, user)
    who = urlsafe_base64_encode(force_bytes(user.pk))
    return str(settings.PUBLIC_URL) + reverse("recover", args=[who, recovery_tokens.make_token(user)])


def signs_in_elsewhere(username: str) -> bool:
    """Whether it is a directory or a provider that lets this user in, and no password of ours."""
    found = User.objects.filter(username=username)
    return found.exclude(directoryuser=None, socialaccount=None).exists()


def recover(user: User) -> None:
    """Record that a user came by that link, and take what he cannot show any more: his second factors."""
    Authenticator.objects.filter(user=user).delete()
    audit.record(Action.PASSWORD_CHANGE, user, actor=user)


def ensure_automation_user(password: str) -> bool:
    """Create the administrator `admin` with this password, unless it exists; tell whether it was created."""
    with transaction.atomic():
        user, created = User.objects.get_or_create(
            username=AUTOMATION_USER, defaults={"is_staff": True, "is_superuser": True}
        )
        if created:
            user.set_password(password)
            user.save(update_fields=["password"])
    return created
