"""The pages of discovery: ranges with their address maps, crawls, addresses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from access.listing import listing
from access.requests import PageRequest

from . import services
from .choices import ACTIVE_STATES, CrawlState, Kind, Phase
from .errors import BadRange, CrawlRunning, DiscoveryError
from .filters import AddressFilter
from .forms import RangeEditForm, RangeForm
from .models import Address, Crawl, Range

SECTION = {"section": "discovery"}
CRAWLS_SHOWN = 15


@dataclass(frozen=True)
class Card:
    """A range as its card shows it: the crawl that runs now, and the last one that ended."""

    range: Range
    counts: dict[str, int]
    running: Crawl | None
    last: Crawl | None

    @property
    def map_version(self) -> str:
        """Changes when the map may have changed, so that a browser fetches it only then."""
        done = self.running.done if self.running else 0
        return "-".join(map(str, [*self.counts.values(), done, self.running.pk if self.running else 0]))


def cards(ranges: QuerySet[Range]) -> list[Card]:
    """The cards of all `ranges`, in a fixed number of queries."""
    of_range = Crawl.objects.filter(range=OuterRef("pk")).order_by("-pk")
    # A probe ends every few seconds and finds no addresses: it is not the news of a card.
    ended = of_range.exclude(state__in=ACTIVE_STATES).exclude(phase=Phase.PROBE)
    running = of_range.filter(state__in=ACTIVE_STATES).exclude(phase=Phase.PROBE)
    # Rows with the annotations `running` and `last`.
    rows: list[Any] = list(
        ranges.annotate(running=Subquery(running.values("pk")[:1]), last=Subquery(ended.values("pk")[:1]))
    )
    keys = [key for row in rows for key in (row.running, row.last) if key]
    crawls = Crawl.objects.select_related("range").in_bulk(keys)
    counts = services.counts_of(rows)
    return [Card(row, counts[row.pk], crawls.get(row.running), crawls.get(row.last)) for row in rows]


@require_safe
def discovery(request: PageRequest) -> HttpResponse:
    shown = cards(Range.objects.all())
    own_networks = [] if shown else services.own_networks()
    return render(
        request, "discovery/discovery.html", SECTION | {"cards": shown, "own_networks": own_networks}
    )


@require_http_methods(["GET", "HEAD", "POST"])
def add_range(request: PageRequest) -> HttpResponse:
    """Make the range, and start its first full crawl."""
    form = RangeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        range_ = _saved(form, lambda: services.create_range(**form.cleaned_data))
        if range_:
            _start(request, range_, Phase.FULL)
            return redirect("range", range_.pk)
    return render(
        request, "discovery/range_form.html", SECTION | {"form": form}, status=422 if form.errors else 200
    )


@require_http_methods(["GET", "HEAD", "POST"])
def edit_range(request: PageRequest, pk: int) -> HttpResponse:
    range_ = get_object_or_404(Range, pk=pk)
    form = RangeEditForm(request.POST or None, range=range_)
    valid = request.method == "POST" and form.is_valid()
    if valid and _saved(form, lambda: services.update_range(range_, **form.changes())):
        messages.success(request, _("The range was changed."))
        return redirect("range", pk)
    context = SECTION | {"form": form, "range": range_}
    return render(request, "discovery/range_form.html", context, status=422 if form.errors else 200)


def _saved(form: RangeForm, save: Callable[[], Range]) -> Range | None:
    """What `save` returns; a refusal becomes an error of the form."""
    try:
        return save()
    except BadRange as error:
        form.add_error(error.field if error.field in form.fields else None, error.reason)
        return None


@require_http_methods(["GET", "HEAD", "POST"])
def delete_range(request: PageRequest, pk: int) -> HttpResponse:
    range_ = get_object_or_404(Range, pk=pk)
    if request.method != "POST":
        return render(
            request, "discovery/range_delete.html", SECTION | {"range": range_, "in_dialog": request.htmx}
        )
    range_.delete()
    messages.success(
        request, _("The range %(range)s was removed. Its hosts stay listed.") % {"range": range_}
    )
    return redirect("discovery")


@require_safe
def range_page(request: PageRequest, pk: int) -> HttpResponse:
    range_ = get_object_or_404(Range, pk=pk)
    found = listing(
        request,
        AddressFilter,
        Address.objects.filter(range=range_).select_related("host"),
        orderings={"packed", "kind", "last_seen"},
        default="packed",
    )
    context = {
        "card": cards(Range.objects.filter(pk=pk))[0],
        "list": found,
        "ordering": found.ordering,
        "crawls": range_.crawls.exclude(phase=Phase.PROBE)[:CRAWLS_SHOWN],
        "kinds": Kind.choices,
    }
    return render(request, "discovery/range.html", SECTION | context)


@require_safe
def range_card(request: PageRequest, pk: int) -> HttpResponse:
    get_object_or_404(Range, pk=pk)
    card = cards(Range.objects.filter(pk=pk))[0]
    return render(request, "discovery/_card.html", {"card": card, "alone": "alone" in request.GET})


@require_safe
def range_map(request: PageRequest, pk: int) -> HttpResponse:  # noqa: ARG001 -- a view
    """One letter for each address of the range: what it is."""
    grid = services.address_grid(get_object_or_404(Range, pk=pk))
    return HttpResponse(
        grid, content_type="text/plain; charset=us-ascii", headers={"Cache-Control": "no-store"}
    )


@require_safe
def address(request: PageRequest, pk: int, ip: str) -> HttpResponse:
    """What is known of one address: the map's click leads here. A host's address shows the host."""
    range_ = get_object_or_404(Range, pk=pk)
    known = Address.objects.filter(ip=ip, range=range_).select_related("host").first()
    if known and known.host and not request.htmx:
        return redirect("host", known.host.pk)
    context = {"range": range_, "ip": ip, "address": known, "in_dialog": request.htmx}
    return render(request, "discovery/address.html", SECTION | context)


@require_POST
def start_crawl(request: PageRequest, pk: int) -> HttpResponse:
    range_ = get_object_or_404(Range, pk=pk)
    phase = request.POST.get("phase", Phase.FULL)
    if phase not in Phase.values:
        return HttpResponse(_("No such phase."), status=400)
    _start(request, range_, Phase(phase))
    return redirect("range", pk)


def _start(request: PageRequest, range_: Range, phase: Phase) -> None:
    try:
        services.start_by_hand(range_, phase)
    except CrawlRunning:
        messages.info(request, _("This crawl is running already."))
    except DiscoveryError as error:
        messages.error(request, _("The crawl was not started: %(reason)s") % {"reason": error})


@require_safe
def crawl_page(request: PageRequest, pk: int) -> HttpResponse:
    crawl = get_object_or_404(Crawl.objects.select_related("range"), pk=pk)
    return render(
        request,
        "discovery/crawl.html",
        SECTION | {"crawl": crawl, "states": CrawlState, "now": timezone.now()},
    )


@require_POST
def cancel_crawl(request: PageRequest, pk: int) -> HttpResponse:
    crawl = get_object_or_404(Crawl, pk=pk)
    services.cancel_by_hand(crawl)
    messages.info(request, _("The crawl is being cancelled. What it found is kept."))
    return redirect("range", crawl.range_id)
