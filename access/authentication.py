"""API tokens: `Authorization: Token ...`."""

import logging
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import OperationalError
from django.db.models import Q
from django.utils import timezone
from knox.auth import TokenAuthentication as KnoxTokenAuthentication
from rest_framework.exceptions import AuthenticationFailed

from .models import ApiToken

LAST_USE_IS_KEPT_EVERY = timedelta(minutes=1)

logger = logging.getLogger(__name__)


class TokenAuthentication(KnoxTokenAuthentication):  # type: ignore[misc]  # knox has no types
    """Knox's check, and a note of the last use: once a minute, so that a read does not cost a write."""

    def authenticate_credentials(self, token: bytes) -> tuple[User, ApiToken]:
        if not token.isascii():
            raise AuthenticationFailed
        return super().authenticate_credentials(token)  # type: ignore[no-any-return]  # as above

    def validate_user(self, auth_token: ApiToken) -> tuple[User, ApiToken]:
        user, found = super().validate_user(auth_token)
        now = timezone.now()
        if found.last_used_at is None or found.last_used_at < now - LAST_USE_IS_KEPT_EVERY:
            self._note_use(found, now)
        return user, found

    @staticmethod
    def _note_use(token: ApiToken, now: datetime) -> None:
        due = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - LAST_USE_IS_KEPT_EVERY)
        try:
            ApiToken.objects.filter(due, pk=token.pk).update(last_used_at=now)
        except OperationalError as error:
            # A database that cannot be written now must not refuse a read.
            logger.warning("The use of token %s was not noted: %s", token.pk, error)
