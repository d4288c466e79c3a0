"""Ranges, crawls and addresses as the API and `manage.py crawl --json` show them."""

from collections.abc import Collection
from typing import Any, NamedTuple

from django.db.models import Max
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from hosts.choices import DAEMON_PORT, MAX_PORT

from . import services
from .choices import DEFAULT_MAX_RATE, LONGEST_PERIOD, MAX_RATE, SHORTEST_PERIOD
from .models import Address, Crawl, Range


class PeriodField(serializers.IntegerField):
    """Seconds between two crawls of a phase; null: off."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            min_value=SHORTEST_PERIOD, max_value=LONGEST_PERIOD, allow_null=True, required=False, **options
        )


class ScheduleSerializer(serializers.Serializer[dict[str, int | None]]):
    """Seconds between crawls by phase; null: off. A phase left out keeps its period."""

    full = PeriodField()
    new = PeriodField()
    recheck = PeriodField()
    probe = PeriodField()


class CountsSerializer(serializers.Serializer[dict[str, int]]):
    hypervisors = serializers.IntegerField()
    foreign = serializers.IntegerField()
    others = serializers.IntegerField()
    silent = serializers.IntegerField()


class ChangesSerializer(serializers.Serializer[dict[str, int]]):
    appeared = serializers.IntegerField()
    vanished = serializers.IntegerField()
    changed = serializers.IntegerField()


class ProgressSerializer(serializers.Serializer[Crawl]):
    """Addresses looked at, of all that are to be looked at."""

    done = serializers.IntegerField()
    total = serializers.IntegerField()


class CrawlSerializer(serializers.ModelSerializer[Crawl]):
    progress = ProgressSerializer(source="*", read_only=True)
    counts = CountsSerializer(read_only=True)
    changes = ChangesSerializer(read_only=True)
    problem = serializers.JSONField(read_only=True, allow_null=True)

    class Meta:
        model = Crawl
        fields = [
            *("id", "range", "phase", "state", "progress", "counts", "changes", "packets_sent"),
            *("started_at", "finished_at", "problem"),
        ]
        read_only_fields = fields


class NewCrawlSerializer(serializers.ModelSerializer[Crawl]):
    class Meta:
        model = Crawl
        fields = ["phase"]


class AddressSerializer(serializers.ModelSerializer[Address]):
    """An address that answered. `reason` is the stable word for why it is of its kind."""

    class Meta:
        model = Address
        fields = ["ip", "range", "kind", "reason", "first_seen", "last_seen", "host"]
        read_only_fields = fields


class RangeList(serializers.ListSerializer[Any]):
    """Counts the addresses and finds the crawls of all ranges at once, not of each."""

    child: "RangeSerializer"

    def to_representation(self, data: Any) -> list[Any]:
        ranges = list(data)
        self.child.facts = range_facts(ranges)
        return super().to_representation(ranges)


class RangeFacts(NamedTuple):
    """By id of the range: its numbers of addresses, and the id of its newest crawl."""

    counts: dict[int, dict[str, int]]
    last_crawls: dict[int, int]


def range_facts(ranges: Collection[Range]) -> RangeFacts:
    newest = Crawl.objects.filter(range__in=ranges).order_by().values("range").annotate(newest=Max("pk"))
    return RangeFacts(services.counts_of(ranges), dict(newest.values_list("range", "newest")))


class RangeSerializer(serializers.ModelSerializer[Range]):
    """A range with how many addresses of each kind it has. `last_crawl` is the id of the newest crawl."""

    facts: RangeFacts | None = None

    cidr = serializers.CharField(max_length=49)
    excluded = serializers.ListField(child=serializers.CharField(max_length=49), required=False)
    port = serializers.IntegerField(min_value=1, max_value=MAX_PORT, default=DAEMON_PORT)
    max_rate = serializers.IntegerField(
        min_value=1,
        max_value=MAX_RATE,
        allow_null=True,
        default=DEFAULT_MAX_RATE,
        help_text="Packets per second; null: no limit.",
    )
    schedule = ScheduleSerializer(required=False)
    counts = serializers.SerializerMethodField()
    last_crawl = serializers.SerializerMethodField()

    class Meta:
        model = Range
        list_serializer_class = RangeList
        fields = [
            *("id", "cidr", "label", "port", "excluded", "max_rate", "enabled", "schedule"),
            *("counts", "last_crawl"),
        ]

    @extend_schema_field(CountsSerializer)
    def get_counts(self, range_: Range) -> dict[str, int]:
        return self._facts(range_).counts[range_.pk]

    def get_last_crawl(self, range_: Range) -> int | None:
        return self._facts(range_).last_crawls.get(range_.pk)

    def _facts(self, range_: Range) -> RangeFacts:
        return self.facts if self.facts is not None else range_facts([range_])

    def create(self, validated_data: dict[str, Any]) -> Range:
        return services.create_range(**validated_data)

    def update(self, instance: Range, validated_data: dict[str, Any]) -> Range:
        return services.update_range(instance, **validated_data)
