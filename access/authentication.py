"""API tokens: `Authorization: Token ...`. And logins that last longer than a request, as of a WebSocket."""

import hashlib
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import User
from django.db import OperationalError
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from knox.auth import TokenAuthentication as KnoxTokenAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from . import proof, scopes
from .audit import Actor, Origin, address_of, record_denial
from .choices import Via
from .models import ApiToken

LAST_USE_IS_KEPT_EVERY = timedelta(minutes=1)

logger = logging.getLogger(__name__)


class TokenAuthentication(KnoxTokenAuthentication):  # type: ignore[misc]  # knox has no types
    """Knox's check, and a note of the last use: once a minute, so that a read does not cost a write.

    A token that has expired stays in its user's list, as that. One whose scope is too narrow for the request
    is refused here, and not by the permissions of each view: there is no view that could forget it.
    """

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        found: tuple[User, ApiToken] | None = super().authenticate(request)
        if found is not None:
            user, token = found
            try:
                scopes.demand_of(request, token.scope)
            except scopes.ScopeTooNarrow as error:
                source = address_of(request.META.get("REMOTE_ADDR"))
                by = Origin(Actor.of(user), Via.TOKEN, token.name, source)
                record_denial(request, error.default_code, by=by)
                raise
        return found

    def authenticate_credentials(self, token: bytes) -> tuple[User, ApiToken]:
        if not token.isalnum():
            raise AuthenticationFailed
        return super().authenticate_credentials(token)  # type: ignore[no-any-return]  # as above

    def validate_user(self, auth_token: ApiToken) -> tuple[User, ApiToken]:
        user, found = super().validate_user(auth_token)
        now = timezone.now()
        if found.last_used_at is None or found.last_used_at < now - LAST_USE_IS_KEPT_EVERY:
            self._note_use(found, now)
        return user, found

    def _cleanup_token(self, auth_token: ApiToken) -> bool:
        """Whether the token has expired. Knox would read all tokens of its user, too, to delete old ones."""
        return auth_token.expired

    @staticmethod
    def _note_use(token: ApiToken, now: datetime) -> None:
        due = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - LAST_USE_IS_KEPT_EVERY)
        try:
            ApiToken.objects.filter(due, pk=token.pk).update(last_used_at=now)
        except OperationalError as error:
            # A database that cannot be written now must not refuse a read.
            logger.warning("The use of token %s was not noted: %s", token.pk, error)


class Login(NamedTuple):
    """By what somebody is logged in: a session with this key, or the token with this number."""

    session: str = ""
    token: int | None = None

    @property
    def digest(self) -> str:
        """Tells this login from every other, and gives nothing of it away."""
        return hashlib.sha256(repr(self).encode()).hexdigest()

    def user(self) -> User | None:
        """The user, read anew. None after a logout, a new password, or the end of token or account."""
        if self.token is not None:
            tokens = ApiToken.objects.valid().filter(pk=self.token, user__is_active=True)
            token = tokens.select_related("user").first()
            return token.user if token else None
        request = HttpRequest()
        request.session = import_module(settings.SESSION_ENGINE).SessionStore(self.session)
        user = get_user(request)
        return user if isinstance(user, User) else None


def origin_of(login: Login, user: User, source: str) -> Origin:
    """What the audit is told of what `user` does by this login, over a WebSocket from `source`."""
    token = ApiToken.objects.filter(pk=login.token).first() if login.token is not None else None
    if token is None:
        return Origin(Actor.of(user), Via.SESSION, source=source)
    return Origin(Actor.of(user), Via.TOKEN, token.name, source)


def login_of_request(request: Request) -> Login:
    """The login of a request of the API that was let in."""
    if isinstance(request.auth, ApiToken):
        return Login(token=request.auth.pk)
    return Login(session=request.session.session_key or "")


def demand_of_login(request: Request, verb: str) -> None:
    """Ask of who may do this what else it takes: of a token its scope, of a session a fresh proof.

    Raises ScopeTooNarrow, ReauthenticationRequired.
    """
    if isinstance(request.auth, ApiToken):
        scopes.demand(request.auth.scope, verb)
    elif isinstance(request.user, User):
        proof.demand(request, request.user, verb)


def login_of_socket(scope: Mapping[str, Any]) -> Login:
    """The login of a WebSocket: by the token it shows, or by the session of its cookie, good or not."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            return _login_by_token(value)
    return Login(session=scope["session"].session_key or "")


def _login_by_token(header: bytes) -> Login:
    try:
        _, token = TokenAuthentication().authenticate_credentials(header.removeprefix(b"Token "))
    except AuthenticationFailed:
        return Login()
    return Login(token=token.pk)
