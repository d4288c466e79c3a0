"""A list on a page: filtered, ordered and cut to a page by what its address says."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django_filters import FilterSet

ROWS_PER_PAGE = 100


@dataclass(frozen=True)
class Listing:
    """`ordering` is the field in force, `-` for descending; `understood`: all filters made sense."""

    page: Page[Any]
    ordering: str
    understood: bool
    filtered: bool


def listing(
    request: HttpRequest,
    filter_class: type[FilterSet],
    queryset: QuerySet[Any],
    *,
    orderings: Collection[str],
    default: str,
) -> Listing:
    """Return the page of `queryset` that the address asks for; filters that make no sense are left out."""
    filters = filter_class(request.GET, queryset=queryset, request=request)
    understood = filters.is_valid()
    rows = filters.qs if understood else queryset
    asked = request.GET.get("ordering", "")
    ordering = asked if asked.removeprefix("-") in orderings else default
    paginator: Paginator[Any] = Paginator(rows.order_by(ordering, "pk"), ROWS_PER_PAGE)
    filtered = any(request.GET.get(name) for name in filters.filters)
    return Listing(paginator.get_page(request.GET.get("page")), ordering, understood, filtered)
