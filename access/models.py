"""What people and programs log in with, beside Django's own users and sessions."""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q, QuerySet
from django.utils import timezone
from knox.models import AbstractAuthToken, AuthTokenManager

from .choices import Scope


class ApiTokenQuerySet(QuerySet["ApiToken"]):
    def valid(self, now: datetime | None = None) -> Self:
        return self.filter(Q(expiry__isnull=True) | Q(expiry__gt=now or timezone.now()))


class ApiToken(AbstractAuthToken):  # type: ignore[misc]  # knox has no types
    """A program's key to the API, with the rights of its user that its scope leaves it.

    Shown once; only a digest is kept.
    """

    # Knox makes the digest the primary key, and so a part of addresses. Here it stays inside.
    digest = models.CharField(max_length=128, unique=True, editable=False)
    name = models.CharField(max_length=100)
    scope = models.CharField(max_length=10, choices=Scope)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = AuthTokenManager.from_queryset(ApiTokenQuerySet)()

    class Meta:
        ordering = ["-created"]

    def __str__(self) -> str:
        return self.name

    @property
    def expired(self) -> bool:
        """Whether it opens nothing any more. It stays in the list, as that, until it is deleted."""
        return self.expiry is not None and self.expiry <= timezone.now()


class SetupLinkQuerySet(QuerySet["SetupLink"]):
    def valid(self, now: datetime | None = None) -> Self:
        return self.filter(expires_at__gt=now or timezone.now())


class SetupLink(models.Model):
    """The right to create the first administrator, once. Only a digest of the link's secret is kept."""

    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()

    objects = SetupLinkQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"made {self.created_at:%Y-%m-%d %H:%M}"
