"""Ranges, crawls and addresses in the admin."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from access.readonly import ReadOnlyAdmin

from . import services
from .choices import Phase
from .errors import DiscoveryError
from .models import Address, Chunk, Crawl, Range


@admin.register(Range)
class RangeAdmin(ReadOnlyAdmin):
    """Made and changed on its page or by the API, which check what a range may be."""

    list_display = ["cidr", "label", "port", "max_rate", "enabled", "created_at"]
    list_filter = ["enabled", "port"]
    search_fields = ["cidr", "label"]
    actions = ["crawl", "probe"]

    @admin.action(description=_("Crawl every address now"))
    def crawl(self, request: HttpRequest, queryset: QuerySet[Range]) -> None:
        self._request(request, queryset, Phase.FULL)

    @admin.action(description=_("Probe known hypervisors now"))
    def probe(self, request: HttpRequest, queryset: QuerySet[Range]) -> None:
        self._request(request, queryset, Phase.PROBE)

    def _request(self, request: HttpRequest, queryset: QuerySet[Range], phase: Phase) -> None:
        for range_ in queryset:
            try:
                services.start_by_hand(range_, phase)
                self.message_user(request, _("A crawl of %(range)s was requested.") % {"range": range_})
            except DiscoveryError as refusal:
                self.message_user(request, f"{range_}: {refusal}", messages.WARNING)


@admin.register(Crawl)
class CrawlAdmin(ReadOnlyAdmin):
    list_display = [
        "id",
        "range",
        "phase",
        "state",
        "done",
        "total",
        "packets_sent",
        "started_at",
        "finished_at",
    ]
    list_filter = ["state", "phase", "range"]
    list_select_related = ["range"]
    search_fields = ["range__cidr", "range__label"]
    date_hierarchy = "created_at"
    actions = ["cancel"]

    @admin.action(description=_("Cancel, and keep what was found"))
    def cancel(self, request: HttpRequest, queryset: QuerySet[Crawl]) -> None:
        for crawl in queryset:
            services.cancel_by_hand(crawl)


@admin.register(Chunk)
class ChunkAdmin(ReadOnlyAdmin):
    list_display = ["network", "crawl", "addresses", "state"]
    list_filter = ["state"]
    list_select_related = ["crawl__range"]


@admin.register(Address)
class AddressAdmin(ReadOnlyAdmin):
    list_display = ["ip", "range", "kind", "reason", "host", "first_seen", "last_seen"]
    list_filter = ["kind", "range", "reason"]
    list_select_related = ["range", "host"]
    search_fields = ["ip", "host__hostname"]
