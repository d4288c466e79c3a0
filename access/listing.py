"""A list on a page: filtered, ordered and cut to a page by what its address says."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django_filters import FilterSet

ROWS_PER_PAGE = 100


@dataclass(frozen=True)
class ListPage:
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
    counted: QuerySet[Any] | None = None,
) -> ListPage:
    """Return the page of `queryset` that the address asks for; filters that make no sense are left out.

    `counted` has the same rows without what is only shown of them: a join costs a count more than all else.
    """
    filtered = is_filtered(request, filter_class)
    understood, rows = True, queryset
    if filtered:  # to make the form of all filters takes longer than to read what they find
        filters = filter_class(request.GET, queryset=queryset, request=request)
        understood = filters.is_valid()
        rows = filters.qs if understood else queryset
    wanted = request.GET.get("ordering", "")
    ordering = wanted if wanted.removeprefix("-") in orderings else default
    paginator: Paginator[Any] = Paginator(rows.order_by(ordering, "pk"), ROWS_PER_PAGE)
    if counted is not None:
        narrowed = filtered and understood
        plain = filter_class(request.GET, queryset=counted, request=request).qs if narrowed else counted
        paginator.count = plain.count()
    return ListPage(paginator.get_page(request.GET.get("page")), ordering, understood, filtered)


def is_filtered(request: HttpRequest, filter_class: type[FilterSet]) -> bool:
    """Whether the address gives any of the filters a value; an empty one asks for nothing."""
    return any(any(request.GET.getlist(name)) for name in filter_class.base_filters)


def kept(request: HttpRequest, names: Iterable[str]) -> list[tuple[str, str]]:
    """What the address says under these names: a form that asks for something else passes it on."""
    return [(name, value) for name in names for value in request.GET.getlist(name) if value]
