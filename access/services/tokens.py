"""The tokens of programs. (Signals tell the audit of them.)"""

from datetime import timedelta

from django.contrib.auth.models import User

from ..choices import Scope
from ..models import ApiToken
from .people import active_user

TOKEN_LIFE = timedelta(days=90)


def create_token(
    *, user: User, name: str, scope: str = Scope.READ, expires_in: timedelta = TOKEN_LIFE
) -> tuple[ApiToken, str]:
    """Return a new token and its text, which is not kept."""
    token: ApiToken
    token, text = ApiToken.objects.create(user=user, name=name, scope=scope, expiry=expires_in)
    return token, text


def create_token_for(username: str, *, name: str, scope: str, expires_in: timedelta = TOKEN_LIFE) -> str:
    """Return the text of a new token. Raises NoSuchUser when no active user has this name."""
    return create_token(user=active_user(username), name=name, scope=scope, expires_in=expires_in)[1]
