"""API tokens: `Authorization: Token ...`."""

import logging
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import OperationalError
from django.db.models import Q
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


def demand_of_login(request: Request, verb: str) -> None:
    """Ask of who may do this what else it takes: of a token its scope, of a session a fresh proof.

    Raises ScopeTooNarrow, ReauthenticationRequired.
    """
    if isinstance(request.auth, ApiToken):
        scopes.demand(request.auth.scope, verb)
    elif isinstance(request.user, User):
        proof.demand(request, request.user, verb)
