"""The mirror of every host's domains: what was last reported, and when."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any, Self
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection, models
from django.db.models import BooleanField, Case, Count, F, Func, Q, QuerySet, Value, When
from django.utils import timezone

from access.choices import Role, Target
from access.models import Place
from access.permissions import Rights, rights_of
from hosts.choices import Status, Trust
from hosts.models import Host, status_expression

from .choices import DomainState, Kind
from .errors import DomainError, DomainMissing, HostNotOwned


class IsInList(Func):
    """Whether a JSON list has this text in it, of SQLite, whose own `contains` Django does not know."""

    template = "EXISTS (SELECT 1 FROM json_each(%(expressions)s))"
    arg_joiner = ") WHERE value = ("
    output_field = BooleanField()

    def __init__(self, field: str, text: str) -> None:
        super().__init__(F(field), Value(text))


class HoldsInList(Func):
    """Whether a text in a JSON list holds this one, in any case: the list's own brackets are none of them."""

    function = "json_each"
    template = r"EXISTS (SELECT 1 FROM %(function)s(%(expressions)s) ESCAPE '\')"
    arg_joiner = ") WHERE UPPER(value) LIKE UPPER("
    output_field = BooleanField()

    def __init__(self, field: str, text: str) -> None:
        super().__init__(F(field), Value(f"%{connection.ops.prep_for_like_query(text)}%"))

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, function="jsonb_array_elements_text", **context)


def has_tag(tag: str) -> Q:
    """That a domain has exactly this tag, whatever letters are in it."""
    if connection.features.supports_json_field_contains:
        return Q(tags__contains=[tag])
    return Q(IsInList("tags", tag))


class DomainQuerySet(QuerySet["Domain"]):
    def with_stale(self, now: datetime | None = None) -> Self:
        """Annotate `stale`: the state is only the last one known, since its host no longer tells."""
        return self.annotate(host_status=status_expression("host__", now)).annotate(
            stale=Case(
                # Its daemon tells that much, and of the domains no more.
                When(host__libvirt_alive=False, then=Value(True)),
                When(host_status=Status.ONLINE, missing_since__isnull=True, then=Value(False)),
                default=Value(True),
                output_field=models.BooleanField(),
            )
        )

    def count_by_state(self) -> Counter[str]:
        """How many are in each state, the last one known."""
        return Counter(dict(self.order_by().values_list("state").annotate(n=Count("pk"))))

    def count_untold(self) -> dict[str, int]:
        """How many are `missing`, and how many others are `stale`.

        By their hosts, which are fewer: to join each domain with its host takes three times as long.
        """
        missing = Q(missing_since__isnull=False)
        hosts: QuerySet[Any] = Host.objects.with_status()
        silent = hosts.filter(~Q(status=Status.ONLINE) | Q(libvirt_alive=False)).values("pk")
        untold = self.filter(missing | Q(host__in=silent))
        return untold.aggregate(missing=Count("pk", filter=missing), stale=Count("pk", filter=~missing))

    def present(self) -> Self:
        return self.filter(missing_since__isnull=True)

    def tagged(self, tag: str) -> Self:
        return self.filter(has_tag(tag))

    def named(self, text: str) -> Self:
        """Those that a person may mean by this: a name or a UUID."""
        try:
            return self.filter(uuid=UUID(text))
        except ValueError:
            return self.filter(name=text)

    def granted(self, rights: Rights, role: Role) -> Self:
        """The domains on which a role is had: by everything, by their host, by a tag, or by themselves."""
        if rights.everywhere(role):
            return self
        by_id = Q(host__in=rights.keys(Target.HOST, role)) | Q(pk__in=rights.keys(Target.DOMAIN, role))
        return self.filter(reduce(or_, map(has_tag, rights.tags(role)), by_id))

    def visible_to(self, user: User) -> Self:
        return self.granted(rights_of(user), Role.VIEWER)


class Domain(models.Model):
    """A virtual machine on one host. After an offline migration the same `uuid` lives on two hosts.

    `memory` and `max_memory` are bytes; `reason` is libvirt's word for why it is in its state.
    """

    host = models.ForeignKey(Host, models.CASCADE, related_name="+")
    uuid = models.UUIDField()
    name = models.CharField(max_length=255)
    libvirt_id = models.IntegerField(null=True, blank=True)
    state = models.CharField(max_length=12, choices=DomainState, default=DomainState.UNKNOWN)
    reason = models.CharField(max_length=40, blank=True)
    vcpus = models.PositiveIntegerField(default=0)
    memory = models.PositiveBigIntegerField(default=0)
    max_memory = models.PositiveBigIntegerField(default=0)
    persistent = models.BooleanField(default=True)
    autostart = models.BooleanField(default=False)
    has_managed_save = models.BooleanField(default=False)
    title = models.CharField(max_length=255, blank=True)
    description = models.TextField(blank=True)
    tags = models.JSONField(default=list, blank=True)
    first_seen = models.DateTimeField(default=timezone.now)
    last_seen = models.DateTimeField(default=timezone.now)
    missing_since = models.DateTimeField(null=True, blank=True)

    # Disks, interfaces, graphics ... of the last look at this domain alone, and when that was.
    details = models.JSONField(default=dict, blank=True)
    details_at = models.DateTimeField(null=True, blank=True)

    stale: bool  # annotated by DomainQuerySet.with_stale()

    objects = DomainQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [models.UniqueConstraint(fields=["host", "uuid"], name="one_row_per_domain_and_host")]
        indexes = [
            models.Index(fields=["state"]),
            models.Index(fields=["name"]),
            # Few are missing, and every page counts them.
            models.Index(
                fields=["missing_since"],
                condition=models.Q(missing_since__isnull=False),
                name="domains_missing",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def refusal(self) -> type[DomainError] | None:
        """Why its host cannot be asked about it: it is not ours, or lists it no more. None when it can."""
        if self.host.trust != Trust.OWNED:
            return HostNotOwned
        return DomainMissing if self.missing_since else None

    def places(self) -> Iterator[Place]:
        yield Place(Target.DOMAIN, object_id=self.pk)
        yield Place(Target.HOST, object_id=self.host_id)
        yield from (Place(Target.TAG, tag) for tag in self.tags)


class History(models.Model):
    """The means of `seconds` from `start` on, of up to 32 domains or hosts with neighbouring keys.

    A row of its own for each would be six million rows a day with 20,000 domains. `points` is packed; see
    `services/packing.py`. Rows are written once and go by age, those of what was deleted too.
    """

    kind = models.CharField(max_length=6, choices=Kind)
    seconds = models.PositiveSmallIntegerField()
    block = models.PositiveBigIntegerField(help_text="The keys of what is in it, divided by 32.")
    start = models.DateTimeField()
    points = models.BinaryField()

    class Meta:
        verbose_name_plural = "history"
        ordering = ["-start", "block"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "seconds", "block", "start"], name="one_row_per_block_and_time"
            )
        ]
        indexes = [models.Index(fields=["seconds", "start"])]

    def __str__(self) -> str:
        return f"{self.kind}s of block {self.block}, {self.seconds} s from {self.start:%Y-%m-%d %H:%M}"
