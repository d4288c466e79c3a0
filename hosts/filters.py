from django.db.models import Q
from django_filters.rest_framework import Filter, MultipleChoiceFilter

from access.searching import SearchFilterSet

from .choices import Status, Trust
from .models import HostAddress


class HostFilter(SearchFilterSet):
    """Filters of hosts that were annotated by `with_status()`. Several values of one filter: any of them."""

    search_fields = ("hostname", "address", "uuid")

    trust = MultipleChoiceFilter(choices=Trust.choices, distinct=False)
    status = MultipleChoiceFilter(choices=Status.choices, distinct=False)

    def matching(self, word: str) -> Q:
        elsewhere = HostAddress.objects.filter(ip__icontains=word).values("host")
        return super().matching(word) | Q(pk__in=elsewhere)


def register_host_filter(name: str, host_filter: Filter) -> None:
    """Let an app above filter hosts by what it knows of them. Called in its `ready()`."""
    HostFilter.base_filters[name] = host_filter


class JoinKeyFilter(SearchFilterSet):
    search_fields = ("label", "id")
