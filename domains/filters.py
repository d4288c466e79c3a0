import json

from django.db import connection
from django.db.models import QuerySet, TextField, Value
from django.db.models.functions import Cast, StrIndex
from django_filters.rest_framework import BooleanFilter, CharFilter, ModelChoiceFilter, MultipleChoiceFilter

from access.searching import SearchFilterSet
from hosts.models import Host

from .choices import DomainState
from .models import Domain


class DomainFilter(SearchFilterSet):
    """Filters of lists of domains annotated by `with_stale()`. Several states: any of them."""

    search_fields = ("name", "title", "uuid", "host__hostname", "tags")

    host = ModelChoiceFilter(queryset=Host.objects.all())
    state = MultipleChoiceFilter(choices=DomainState.choices, distinct=False)
    autostart = BooleanFilter()
    stale = BooleanFilter()
    missing = BooleanFilter(field_name="missing_since", lookup_expr="isnull", exclude=True)
    tag = CharFilter(method="tagged", max_length=64)

    def tagged(self, queryset: QuerySet[Domain], name: str, value: str) -> QuerySet[Domain]:  # noqa: ARG002 -- a filter
        if connection.features.supports_json_field_contains:
            return queryset.filter(tags__contains=[value])
        # SQLite keeps the list as text, and cannot look into it: the tag is found with its quotes.
        return queryset.annotate(tag_at=StrIndex(Cast("tags", TextField()), Value(json.dumps(value)))).filter(
            tag_at__gt=0
        )
