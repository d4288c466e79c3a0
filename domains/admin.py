from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from access.readonly import ReadOnlyAdmin

from .models import Domain, DomainQuerySet, History


@admin.register(Domain)
class DomainAdmin(ReadOnlyAdmin):
    """The mirror of what hosts report: to see, since the truth is on the host."""

    list_display = [
        "name",
        "host",
        "state",
        "stale",
        "vcpus",
        "memory",
        "persistent",
        "autostart",
        "missing_since",
    ]
    list_filter = ["state", "persistent", "autostart", ("missing_since", admin.EmptyFieldListFilter), "host"]
    list_select_related = ["host"]
    search_fields = ["name", "title", "uuid", "host__hostname"]

    def get_queryset(self, request: object) -> DomainQuerySet:
        return Domain.objects.with_stale()

    @admin.display(description=_("stale"), boolean=True)
    def stale(self, domain: Domain) -> bool:
        return domain.stale


@admin.register(History)
class HistoryAdmin(ReadOnlyAdmin):
    """The rows of the charts, written by the roll-up alone; what is packed in them is in the API."""

    list_display = ["kind", "seconds", "block", "start"]
    list_filter = ["kind", "seconds"]
    date_hierarchy = "start"
