from django.db.models import QuerySet
from django.http import HttpRequest
from django_filters.rest_framework import ModelChoiceFilter, MultipleChoiceFilter
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field

from access.permissions import caller, is_administrator
from access.searching import SearchFilterSet
from hosts.models import Host

from .choices import CrawlState, Kind, Phase
from .models import Address, Range


class RangeFilter(SearchFilterSet):
    search_fields = ("cidr", "label")


class AddressFilter(SearchFilterSet):
    search_fields = ("ip", "host__hostname")

    range = ModelChoiceFilter(queryset=Range.objects.all())
    kind = MultipleChoiceFilter(choices=Kind.choices, distinct=False)
    host = ModelChoiceFilter(queryset=Host.objects.all())


class CrawlFilter(SearchFilterSet):
    search_fields = ("range__cidr", "range__label")

    range = ModelChoiceFilter(queryset=Range.objects.all())
    phase = MultipleChoiceFilter(choices=Phase.choices, distinct=False)
    state = MultipleChoiceFilter(choices=CrawlState.choices, distinct=False)


def ranges_shown_to(request: HttpRequest | None) -> QuerySet[Range]:
    """The ranges that hosts may be filtered by: discovery is for administrators, and hosts are not."""
    shown = request is not None and is_administrator(caller(request))
    return Range.objects.all() if shown else Range.objects.none()


@extend_schema_field(OpenApiTypes.INT)
class HostRangeFilter(ModelChoiceFilter):
    """`range` of lists of hosts: those with an address that answered in this range."""

    def __init__(self) -> None:
        super().__init__(queryset=ranges_shown_to)  # type: ignore[arg-type]  # it may be a function

    def filter(self, qs: QuerySet[Host], value: Range | None) -> QuerySet[Host]:
        if value is None:
            return qs
        return qs.filter(pk__in=Address.objects.filter(range=value, host__isnull=False).values("host"))
