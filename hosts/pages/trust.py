"""Why a host is believed, and which hop of the way to it fails."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from access.permissions import demand, may, open_to_grants
from access.requests import PageRequest

from .. import services
from ..errors import HostsError
from ..models import Host
from .hosts import SECTION, shown


@require_safe
@open_to_grants
def trust(request: PageRequest, pk: int) -> HttpResponse:
    return _page(
        request, get_object_or_404(shown(request).select_related("join_key__created_by"), pk=pk), None
    )


@require_POST
@open_to_grants
def try_connection(request: PageRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(shown(request).select_related("join_key__created_by"), pk=pk)
    demand(request.user, "test_connection", found)
    try:
        return _page(request, found, services.try_connection(found))
    except HostsError as error:
        messages.error(request, str(error))
        return redirect("trust", pk)


def _page(request: PageRequest, host: Host, report: services.ConnectionReport | None) -> HttpResponse:
    context = {
        "host": host,
        "report": report,
        "twins": host.twins(request.user),
        "may_test": may(request.user, "test_connection", host),
    }
    return render(request, "hosts/trust.html", SECTION | context)
