from typing import cast

from django.db.models import Q, QuerySet
from django_filters.rest_framework import CharFilter, ModelChoiceFilter, MultipleChoiceFilter

from access.searching import SearchFilterSet, TrueOrFalseFilter
from hosts.filters import hosts_named_to

from .choices import DomainState
from .models import Domain, DomainQuerySet, HoldsInList


class DomainFilter(SearchFilterSet):
    """Filters of lists of domains. Several states: any of them."""

    search_fields = ("name", "title", "uuid", "host__hostname")

    host = ModelChoiceFilter(queryset=hosts_named_to)  # type: ignore[arg-type]  # it may be a function
    state = MultipleChoiceFilter(choices=DomainState.choices, distinct=False)
    autostart = TrueOrFalseFilter()
    stale = TrueOrFalseFilter(method="of_age")
    missing = TrueOrFalseFilter(field_name="missing_since", lookup_expr="isnull", exclude=True)
    tag = CharFilter(method="tagged", max_length=64)

    def matching(self, word: str) -> Q:
        return super().matching(word) | Q(HoldsInList("tags", word))

    def of_age(self, queryset: QuerySet[Domain], name: str, value: bool) -> QuerySet[Domain]:  # noqa: ARG002, FBT001 -- a filter
        return cast("DomainQuerySet", queryset).with_stale().filter(Q(stale=value))

    def tagged(self, queryset: QuerySet[Domain], name: str, value: str) -> QuerySet[Domain]:  # noqa: ARG002 -- a filter
        return cast("DomainQuerySet", queryset).tagged(value)
