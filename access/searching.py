"""`?search=` for lists, alike in the API and on pages."""

from functools import reduce
from operator import and_, or_
from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django_filters.rest_framework import CharFilter, FilterSet

MAX_WORDS = 10


class SearchFilterSet(FilterSet):
    """A filter set with `search`: every word must be found in one of `search_fields`, in any case."""

    search_fields: ClassVar[tuple[str, ...]] = ()

    search = CharFilter(method="find", max_length=200, label="Every word is found in one of the main fields.")

    def find(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:  # noqa: ARG002 -- a filter
        words = value.split()[:MAX_WORDS]
        return queryset.filter(reduce(and_, map(self.matching, words))) if words else queryset

    def matching(self, word: str) -> Q:
        """Return which rows hold `word`."""
        return reduce(or_, (Q((f"{field}__icontains", word)) for field in self.search_fields))
