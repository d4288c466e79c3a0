"""The pages of domains. They show the mirror and its age, and never wait for a hypervisor."""

import re

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from access.listing import listing
from hosts.errors import AgentError
from hosts.models import Host

from . import services
from .choices import DomainState
from .errors import DomainError
from .filters import DomainFilter
from .models import Domain, DomainQuerySet

SECTION = {"section": "domains"}
ORDERINGS = {"name", "host__hostname", "state", "vcpus", "memory", "autostart"}
SHOWN_ON_HOST_PAGE = 100


def shown() -> DomainQuerySet:
    return Domain.objects.with_stale().select_related("host")


@require_safe
def domains(request: HttpRequest) -> HttpResponse:
    found = listing(request, DomainFilter, shown(), orderings=ORDERINGS, default="name")
    states = dict(Domain.objects.present().order_by().values_list("state").annotate(n=Count("pk")))
    host = request.GET.get("host", "")
    context = {
        "list": found,
        "ordering": found.ordering,
        "states": [(value, label, states[value]) for value, label in DomainState.choices if value in states],
        "total": sum(states.values()),
        "host": Host.objects.filter(pk=host).first() if re.fullmatch("[0-9]{1,18}", host) else None,
    }
    return render(request, "domains/domains.html", SECTION | context)


@require_safe
def row(request: HttpRequest, pk: int) -> HttpResponse:
    context = {"domain": get_object_or_404(shown(), pk=pk), "without_host": "on-host" in request.GET}
    return render(request, "domains/_row.html", context)


@require_safe
def of_host(request: HttpRequest, host_pk: int) -> HttpResponse:
    """The fragment of a host's page that lists its domains."""
    host = get_object_or_404(Host, pk=host_pk)
    rows = shown().filter(host=host)
    context = {
        "host": host,
        "domains": rows[:SHOWN_ON_HOST_PAGE],
        "total": rows.count(),
        "limit": SHOWN_ON_HOST_PAGE,
    }
    return render(request, "domains/_of_host.html", context)


@require_safe
def domain(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(shown(), pk=pk)
    services.wish_details(found)
    return render(request, "domains/domain.html", SECTION | {"domain": found})


@require_safe
def definition(request: HttpRequest, pk: int) -> HttpResponse:
    """The fragment with the domain's XML. It asks the host, so the page loads it afterwards, by itself."""
    found = get_object_or_404(shown(), pk=pk)
    try:
        context = {"xml": services.xml(found)}
    except (AgentError, DomainError) as error:
        context = {"problem": str(error)}
    return render(request, "domains/_definition.html", context)


@require_safe
def screen(request: HttpRequest, pk: int) -> HttpResponse:  # noqa: ARG001 -- a view
    """The domain's screen as a PNG, or in words why there is none."""
    found = get_object_or_404(shown(), pk=pk)
    try:
        picture = services.screenshot(found)
    except (AgentError, DomainError) as error:
        return HttpResponse(str(error), status=503, content_type="text/plain; charset=utf-8")
    return HttpResponse(picture, content_type="image/png", headers={"Cache-Control": "no-store"})
