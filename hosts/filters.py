from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django_filters.rest_framework import (
    CharFilter,
    Filter,
    ModelChoiceFilter,
    MultipleChoiceFilter,
    UUIDFilter,
)

from access.permissions import caller, rights_of
from access.searching import KeyFilter, SearchFilterSet

from .choices import OperationState, Status, TargetType, Trust
from .models import Host, HostAddress, HostQuerySet, Operation


def hosts_named_to(request: HttpRequest | None) -> HostQuerySet:
    """The hosts that a list may be filtered by: nobody learns by a filter that there are others."""
    return Host.objects.named_to(rights_of(caller(request))) if request else Host.objects.none()


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


class OperationFilter(SearchFilterSet):
    """Filters of the journal. Several states or verbs: any of them. `actor` is the name of who asked."""

    search_fields = ("target_name", "host_name", "actor_name", "verb", "target_uuid", "id")

    state = MultipleChoiceFilter(choices=OperationState.choices, distinct=False)
    verb = CharFilter(max_length=20)
    host = ModelChoiceFilter(queryset=hosts_named_to)  # type: ignore[arg-type]  # it may be a function
    actor = CharFilter(field_name="actor_name", max_length=150)
    target_type = MultipleChoiceFilter(choices=TargetType.choices, distinct=False)
    target_id = KeyFilter()
    domain = KeyFilter(method="of_domain")
    parent = UUIDFilter()

    def of_domain(self, queryset: QuerySet[Operation], name: str, value: int) -> QuerySet[Operation]:  # noqa: ARG002 -- a filter
        return queryset.filter(target_type=TargetType.DOMAIN, target_id=value)
