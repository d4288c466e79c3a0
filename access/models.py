"""What people and programs log in with, beside Django's users and sessions; what they may do, and have."""

from datetime import datetime
from typing import NamedTuple, Self

from django.contrib.auth.models import Group, User
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q, QuerySet
from django.utils import timezone
from knox.models import AbstractAuthToken, AuthTokenManager

from .choices import LONGEST_TAG, MOST_BYTES, MOST_COUNTED, Resource, Result, Role, Scope, Target, Via


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


class AuditQuerySet(QuerySet["AuditEntry"]):
    def chained(self) -> Self:
        """The chain, from its first row on."""
        return self.filter(sequence__isnull=False).order_by("sequence")

    def waiting(self) -> Self:
        """What was written a moment ago, and is not chained yet."""
        return self.filter(sequence__isnull=True)


class AuditEntry(models.Model):
    """One deed. Names are kept as they were: the row outlives what they point to, so it points to nothing.

    The database lets nobody delete a row or change it, but for `sequence`, `previous_hash` and `hash`, once.
    The triggers are in migration 0003; SQLite drops them when a later migration alters this table.
    """

    sequence = models.PositiveBigIntegerField(null=True, unique=True, editable=False)
    at = models.DateTimeField(default=timezone.now, db_index=True)
    actor_id = models.BigIntegerField(null=True)
    actor_name = models.CharField(max_length=150, blank=True)
    via = models.CharField(max_length=10, choices=Via)
    via_name = models.CharField(max_length=100, blank=True, help_text="The token or the command.")
    # No inet: the hash is over the text that was written.
    source = models.CharField(max_length=45, blank=True, help_text="The IP address it came from.")
    # One of Action: a new word needs no migration.
    action = models.CharField(max_length=40)
    target_type = models.CharField(max_length=40, blank=True)
    target_id = models.CharField(max_length=64, blank=True)
    target_name = models.CharField(max_length=255, blank=True)
    result = models.CharField(max_length=10, choices=Result, default=Result.OK)
    problem = models.CharField(max_length=60, blank=True, help_text="Why not, as a stable word.")
    detail = models.JSONField(default=dict, blank=True)
    previous_hash = models.CharField(max_length=64, blank=True, editable=False)
    hash = models.CharField(max_length=64, blank=True, editable=False)

    objects = AuditQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "audit entries"

    def __str__(self) -> str:
        return f"{self.action} {self.target_name}".rstrip()


class DirectoryUser(models.Model):
    """Marks a user whom the LDAP directory lets in; it speaks for no other, whatever his name."""

    user = models.OneToOneField(User, models.CASCADE, primary_key=True)

    def __str__(self) -> str:
        return self.user.get_username()


class Place(NamedTuple):
    """What roles are had on: a tag by its text, a host or a domain by its id, everything by neither."""

    target: str
    tag: str = ""
    object_id: int = 0


def for_any_of(*users: User) -> Q:
    """What is for one of these users himself, or for a group that he is in."""
    return Q(user__in=users) | Q(group__in=Group.objects.filter(user__in=users))


class GrantQuerySet(QuerySet["Grant"]):
    def of(self, *users: User) -> Self:
        """What users were granted, themselves or as members of a group."""
        return self.filter(for_any_of(*users))

    def at_least(self, role: Role) -> Self:
        return self.filter(role__gte=role)


class Grant(models.Model):
    """A role for one user or one group, on everything, the domains with a tag, a host, or a domain.

    `object_id` is our own id of a host or a domain. It is no foreign key, since this is the lowest app; a
    grant whose object was forgotten is shown as that, and covers nothing: ids are not given twice.
    """

    user = models.ForeignKey(User, models.CASCADE, null=True, blank=True, related_name="grants")
    group = models.ForeignKey(Group, models.CASCADE, null=True, blank=True, related_name="grants")
    role = models.PositiveSmallIntegerField(choices=Role)
    target = models.CharField(max_length=10, choices=Target)
    tag = models.CharField(max_length=LONGEST_TAG, blank=True)
    object_id = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")

    objects = GrantQuerySet.as_manager()

    class Meta:
        ordering = ["target", "tag", "object_id", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=False, group__isnull=True)
                | Q(user__isnull=True, group__isnull=False),
                name="a_grant_is_for_a_user_or_a_group",
            ),
            models.CheckConstraint(
                condition=Q(target=Target.EVERYTHING, tag="", object_id=0)
                | (Q(target=Target.TAG, object_id=0) & ~Q(tag=""))
                | Q(target__in=[Target.HOST, Target.DOMAIN], tag="", object_id__gt=0),
                name="a_grant_names_what_its_target_needs",
            ),
            *(
                models.UniqueConstraint(
                    fields=[whom, "target", "tag", "object_id"],
                    condition=Q((f"{whom}__isnull", False)),
                    name=f"one_grant_per_{whom}_and_object",
                )
                for whom in ("user", "group")
            ),
        ]
        indexes = [models.Index(fields=["target", "object_id"])]

    def __str__(self) -> str:
        return f"{Role(self.role).label} of {self.target} {self.tag or self.object_id or ''}".strip()

    @property
    def place(self) -> Place:
        """What it covers."""
        return Place(self.target, self.tag, self.object_id)


class QuotaQuerySet(QuerySet["Quota"]):
    def of(self, user: User) -> Self:
        """What limits a user: what was set for him, and for each of his groups; a superuser's groups do not.

        Who administers and is no superuser may limit a group, and has no power over the superusers in it.
        """
        return self.filter(Q(user=user) if user.is_superuser else for_any_of(user))


class Quota(models.Model):
    """How much one user, or each member of a group, may have of his own; what is empty is not limited.

    The fields are those of `Resource`; `memory` and `disk` are bytes.
    """

    user = models.OneToOneField(User, models.CASCADE, null=True, blank=True, related_name="quota")
    group = models.OneToOneField(Group, models.CASCADE, null=True, blank=True, related_name="quota")
    domains = models.PositiveIntegerField(null=True, blank=True, validators=[MaxValueValidator(MOST_COUNTED)])
    vcpus = models.PositiveIntegerField(null=True, blank=True, validators=[MaxValueValidator(MOST_COUNTED)])
    memory = models.PositiveBigIntegerField(null=True, blank=True, validators=[MaxValueValidator(MOST_BYTES)])
    disk = models.PositiveBigIntegerField(null=True, blank=True, validators=[MaxValueValidator(MOST_BYTES)])

    objects = QuotaQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=False, group__isnull=True)
                | Q(user__isnull=True, group__isnull=False),
                name="a_quota_is_for_a_user_or_a_group",
            ),
        ]

    def __str__(self) -> str:
        return f"Quota of {self.user or self.group}"

    @property
    def limits(self) -> dict[str, int | None]:
        return {name: getattr(self, name) for name in Resource.values}
