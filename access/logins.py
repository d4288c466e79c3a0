"""Logins that last longer than a request, as of a WebSocket: they are read anew for as long as it is open."""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from .audit import Actor, Origin
from .authentication import TokenAuthentication
from .choices import Via
from .models import ApiToken
from .permissions import NOTHING, Rights, read_rights
from .rounds import Rounds


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
        return _users_of([self]).get(self)


def rights_of_logins(logins: Collection[Login]) -> dict[Login, Rights]:
    """What may be done by each of these now; nothing, when it has ended. Four queries, for any number."""
    users = _users_of(logins)
    rights = read_rights(users.values())
    return {login: rights[users[login].pk] if login in users else NOTHING for login in logins}


# What sockets wait for, to end with their logins.
open_logins: Final = Rounds(rights_of_logins)


def _users_of(logins: Collection[Login]) -> dict[Login, User]:
    """The user of each login that is good."""
    numbers = [login.token for login in logins if login.token is not None]
    tokens = ApiToken.objects.valid().filter(pk__in=numbers, user__is_active=True)
    by_token = {Login(token=token.pk): token.user for token in tokens.select_related("user")}
    return by_token | _users_by_session([login.session for login in logins if login.session])


def _users_by_session(keys: Collection[str]) -> dict[Login, User]:
    """As Django's `get_user` finds them, one request at a time."""
    alive = Session.objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
    said = {session.session_key: session.get_decoded() for session in alive}
    named = [session[SESSION_KEY] for session in said.values() if SESSION_KEY in session]
    users = {str(user.pk): user for user in User.objects.filter(pk__in=named, is_active=True)}
    return {
        Login(session=key): user
        for key, session in said.items()
        if (user := users.get(session.get(SESSION_KEY, ""))) and _is_of(user, session)
    }


def _is_of(user: User, session: Mapping[str, Any]) -> bool:
    """Whether the way by which he came is still open, and his password is still the same."""
    known = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return session.get(BACKEND_SESSION_KEY) in settings.AUTHENTICATION_BACKENDS and any(
        constant_time_compare(session.get(HASH_SESSION_KEY, ""), each) for each in known
    )


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
