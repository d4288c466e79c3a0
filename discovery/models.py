"""What to scan, what was scanned, and what answered."""

import ipaddress
from typing import Any, Self

from django.db import models
from django.db.models import Q, QuerySet
from django.utils import timezone

from hosts.choices import DAEMON_PORT
from hosts.models import Host

from .choices import (
    ACTIVE_STATES,
    DEFAULT_MAX_RATE,
    DEFAULT_SCHEDULE,
    LONGEST_LABEL,
    ChunkState,
    CrawlState,
    Kind,
    Phase,
)


def default_schedule() -> dict[str, int | None]:
    return {str(phase): seconds for phase, seconds in DEFAULT_SCHEDULE.items()}


def no_counts() -> dict[str, int]:
    return {"hypervisors": 0, "foreign": 0, "others": 0, "silent": 0}


def no_changes() -> dict[str, int]:
    return {"appeared": 0, "vanished": 0, "changed": 0}


class RangeQuerySet(QuerySet["Range"]):
    def enabled(self) -> Self:
        return self.filter(enabled=True)


class Range(models.Model):
    """A CIDR block that the operator asked for. Nothing outside an enabled range is probed or dialled."""

    cidr = models.CharField("CIDR", max_length=49, unique=True)
    label = models.CharField(max_length=LONGEST_LABEL, blank=True)
    port = models.PositiveIntegerField(default=DAEMON_PORT)
    excluded = models.JSONField(
        default=list, blank=True, help_text="Addresses and CIDR blocks that are left alone."
    )
    max_rate = models.PositiveIntegerField(
        null=True, blank=True, default=DEFAULT_MAX_RATE, help_text="Packets per second; empty: no limit."
    )
    enabled = models.BooleanField(default=True)
    schedule = models.JSONField(
        default=default_schedule, help_text="Seconds between crawls by phase; null: off."
    )
    created_at = models.DateTimeField(default=timezone.now)

    objects = RangeQuerySet.as_manager()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.label} ({self.cidr})" if self.label else self.cidr

    @property
    def network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        return ipaddress.ip_network(self.cidr)


class Address(models.Model):
    """One IP address that answered, in the narrowest range that holds it.

    `packed` orders and cuts addresses of both families: 16 bytes, IPv4 mapped into IPv6.
    """

    # Four indexes in all: a dense /16 is 65,536 rows, and each index costs as much as the row.
    range = models.ForeignKey(Range, models.CASCADE, related_name="addresses", db_index=False)
    ip = models.GenericIPAddressField(unique=True)
    packed = models.BinaryField(max_length=16, editable=False)
    kind = models.CharField(max_length=10, choices=Kind)
    reason = models.CharField(
        max_length=40, blank=True, help_text="Why it is of this kind, as a stable word."
    )
    host = models.ForeignKey(Host, models.SET_NULL, null=True, blank=True, related_name="+")
    first_seen = models.DateTimeField(default=timezone.now)
    last_seen = models.DateTimeField(default=timezone.now)
    silent_crawls = models.PositiveIntegerField(
        default=0, help_text="Full crawls in a row that had no answer."
    )

    class Meta:
        ordering = ["packed"]
        verbose_name_plural = "addresses"
        indexes = [models.Index(fields=["range", "kind"]), models.Index(fields=["packed"])]

    def __str__(self) -> str:
        return self.ip


class CrawlQuerySet(QuerySet["Crawl"]):
    def active(self) -> Self:
        return self.filter(state__in=ACTIVE_STATES)


class Crawl(models.Model):
    """One run of one phase over one range."""

    range = models.ForeignKey(Range, models.CASCADE, related_name="crawls")
    phase = models.CharField(max_length=10, choices=Phase)
    state = models.CharField(max_length=10, choices=CrawlState, default=CrawlState.QUEUED)
    port = models.PositiveIntegerField(default=DAEMON_PORT)
    max_rate = models.PositiveIntegerField(null=True, blank=True)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    counts = models.JSONField(default=no_counts)
    changes = models.JSONField(default=no_changes)
    packets_sent = models.PositiveBigIntegerField(default=0)
    problem: Any = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    # Whoever carries the crawl says so every few seconds: a crawl without a beat has lost its process.
    beat_at = models.DateTimeField(default=timezone.now)

    objects = CrawlQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["range", "phase"],
                condition=Q(state__in=ACTIVE_STATES),
                name="one_active_crawl_per_phase",
            )
        ]

    def __str__(self) -> str:
        return f"{self.phase} of {self.range.cidr}"


class Chunk(models.Model):
    """A part of a crawl that one worker claims, scans and stores."""

    crawl = models.ForeignKey(Crawl, models.CASCADE, related_name="chunks")
    network = models.CharField(max_length=49)
    addresses = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=ChunkState, default=ChunkState.WAITING)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["crawl", "state"])]

    def __str__(self) -> str:
        return self.network
