"""Signing in by an LDAP directory: it says who somebody is. What he may do is granted here."""

from typing import Any, Final, cast

import ldap
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from django_auth_ldap.backend import LDAPBackend
from django_auth_ldap.config import GroupOfNamesType, LDAPSearch

from .models import DirectoryUser

# Nobody waits longer for a directory that hangs, for the connection and for each answer.
SECONDS: Final = 5


class DirectoryBackend(LDAPBackend):  # type: ignore[misc]  # it has no types
    """Lets in whom the directory lets in. Its errors are logged, and let nobody in."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: Any
    ) -> User | None:
        name = User.normalize_username(username or "").strip().lower()
        try:
            User._meta.get_field("username").run_validators(name)
        except ValidationError:
            return None
        # A name that is taken here means who has it here; his password is none of the directory's business.
        if User.objects.filter(username__iexact=name, directoryuser=None).exists():
            return None
        user: User | None = super().authenticate(request, username=name, password=password)
        return user if user and user.is_active else None

    def get_user(self, user_id: int) -> User | None:
        return User.objects.filter(pk=user_id, is_active=True).first()

    def get_or_build_user(self, username: str, ldap_user: object) -> tuple[User, bool]:  # noqa: ARG002 -- its signature
        """The account of somebody whom the directory has just let in; a new one has no right."""
        known = User.objects.filter(username=username, directoryuser__isnull=False).first()
        return known or _create(username), False

    @property
    def default_settings(self) -> dict[str, Any]:
        """django-auth-ldap's settings, without their prefix."""
        directory = cast("Any", settings.VIRSHMANAGER_LDAP)
        found = {
            "SERVER_URI": directory.url,
            "START_TLS": directory.start_tls,
            "CONNECTION_OPTIONS": _options(directory.authorities),
            "BIND_DN": directory.bind_dn,
            "BIND_PASSWORD": directory.bind_password,
            "USER_SEARCH": LDAPSearch(directory.users, ldap.SCOPE_SUBTREE, directory.filter),
        }
        if directory.groups:
            found |= {
                "GROUP_SEARCH": LDAPSearch(directory.groups, ldap.SCOPE_SUBTREE),
                "GROUP_TYPE": GroupOfNamesType(),
                "MIRROR_GROUPS": True,
            }
        return found


def _create(username: str) -> User:
    with transaction.atomic():
        user = User.objects.create_user(username)
        DirectoryUser.objects.create(user=user)
    return user


def _options(authorities: str) -> dict[int, Any]:
    options = {
        ldap.OPT_NETWORK_TIMEOUT: SECONDS,
        ldap.OPT_TIMEOUT: SECONDS,
        # Else the password would go wherever the directory points.
        ldap.OPT_REFERRALS: ldap.OPT_OFF,
        ldap.OPT_X_TLS_REQUIRE_CERT: ldap.OPT_X_TLS_DEMAND,
    }
    if authorities:
        options[ldap.OPT_X_TLS_CACERTFILE] = authorities
    # The last: only now libldap reads what was said of TLS.
    return options | {ldap.OPT_X_TLS_NEWCTX: 0}
