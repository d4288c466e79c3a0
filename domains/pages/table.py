"""The table of all domains, and the smaller one of a host's page."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from access.listing import kept, listing
from access.permissions import open_to_grants
from access.requests import PageRequest, key_in
from hosts.models import Host

from ..choices import DomainState
from ..filters import DomainFilter
from ..models import Domain
from ..verbs import VERBS
from .rows import listed, rows_of

SECTION = {"section": "domains"}
ORDERINGS = {"name", "host__hostname", "state", "vcpus", "memory", "autostart"}
SHOWN_ON_HOST_PAGE = 100
# What else the address may ask for, and is kept by a search.
KEPT = ("state", "host", "tag", "autostart", "stale", "missing", "ordering")
HOSTS_OFFERED = 30
UNCHANGING = ("name", "host__hostname")
CHANGING = ("search", "state", "tag", "autostart", "stale", "missing")
# The verbs for a selection: at once, and in its menu.
BULK = ("start", "shutdown", "reboot", "destroy")
BULK_MORE = ("suspend", "resume", "save", "restore", "reset", "undefine")


@require_safe
@open_to_grants
def domains(request: PageRequest) -> HttpResponse:
    found = listing(
        request,
        DomainFilter,
        listed(request),
        counted=Domain.objects.visible_to(request.user),
        orderings=ORDERINGS,
        default="name",
    )
    context = {
        "list": found,
        "rows": rows_of(list(found.page), request.rights),
        "ordering": found.ordering,
        "rest": _concerned_by_others(request, found.ordering),
        "bulk_verbs": [VERBS[name] for name in BULK],
        "bulk_more": [VERBS[name] for name in BULK_MORE],
        "kept": kept(request, KEPT),
        **_chips(request),
    }
    return render(request, "domains/domains.html", SECTION | context)


def _concerned_by_others(request: PageRequest, ordering: str) -> bool:
    """Whether the change of a domain that is not shown may bring it onto this page."""
    return ordering.removeprefix("-") not in UNCHANGING or any(request.GET.get(name) for name in CHANGING)


def _chips(request: PageRequest) -> dict[str, Any]:
    """The filters that are offered, with how many domains each would show."""
    seen = Domain.objects.visible_to(request.user)
    counts, untold = seen.count_by_state(), seen.count_untold()
    hosts = Host.objects.named_to(request.rights)
    key = key_in(request.GET, "host")
    return {
        "states": [(value, label, counts[value]) for value, label in DomainState.choices if value in counts],
        "total": sum(counts.values()),
        "stale": sum(untold.values()),
        "missing": untold["missing"],
        "host": hosts.filter(pk=key).first() if key else None,
        "hosts": hosts.owned().only("hostname", "address")[: HOSTS_OFFERED + 1],
        "hosts_offered": HOSTS_OFFERED,
    }


@require_safe
@open_to_grants
def row(request: PageRequest, pk: int) -> HttpResponse:
    return draw_row(request, pk)


def draw_row(request: PageRequest, pk: int) -> HttpResponse:
    """One row as it is now; `?on-host` as the table of a host's page has it."""
    domain = get_object_or_404(listed(request), pk=pk)
    context = {"row": rows_of([domain], request.rights)[0], "without_host": "on-host" in request.GET}
    return render(request, "domains/_row.html", context)


@require_safe
@open_to_grants
def of_host(request: PageRequest, host_pk: int) -> HttpResponse:
    """The fragment of a host's page that lists its domains."""
    host = get_object_or_404(Host.objects.visible_to(request.user), pk=host_pk)
    found = listed(request).filter(host=host)
    context = {
        "host": host,
        "rows": rows_of(found[:SHOWN_ON_HOST_PAGE], request.rights),
        "total": found.count(),
        "limit": SHOWN_ON_HOST_PAGE,
    }
    return render(request, "domains/_of_host.html", context)
