"""The pages of hosts, and what a person decides about one."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from access import proof
from access.listing import listing
from access.permissions import demand, may, open_to_grants
from access.requests import PageRequest

from .. import services, siblings
from ..choices import Status, Trust
from ..errors import HostsError
from ..filters import HostFilter
from ..forms import AdoptForm, HostForm, refuse
from ..models import Host, HostQuerySet

SECTION = {"section": "hosts"}
ORDERINGS = {"hostname", "address", "trust", "status", "last_seen", "cpus", "memory"}


def shown(request: PageRequest) -> HostQuerySet:
    return Host.objects.visible_to(request.user).with_status().prefetch_related("addresses")


@require_safe
@open_to_grants
def hosts(request: PageRequest) -> HttpResponse:
    found = listing(request, HostFilter, shown(request), orderings=ORDERINGS, default="hostname")
    rows = list(found.page)
    context = {
        "list": found,
        "ordering": found.ordering,
        "hosts": rows,
        "waiting": Host.objects.waiting().count() if request.rights.administers else 0,
        "counts": siblings.domain_counts([host.pk for host in rows]),
        "statuses": [(value, label) for value, label in Status.choices if value != Status.UNKNOWN],
        "trusts": [(value, label) for value, label in Trust.choices if value != Trust.OWNED],
    }
    return render(request, "hosts/hosts.html", SECTION | context)


@require_safe
@open_to_grants
def row(request: PageRequest, pk: int) -> HttpResponse:
    host = get_object_or_404(shown(request), pk=pk)
    return render(request, "hosts/_row.html", {"host": host, "counts": siblings.domain_counts([pk])})


@require_safe
@open_to_grants
def host(request: PageRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(shown(request).select_related("join_key"), pk=pk)
    context = {
        "host": found,
        "counts": siblings.domain_counts([pk])[pk],
        "administers": may(request.user, "administer", found),
    }
    return render(request, "hosts/host.html", SECTION | context)


@require_http_methods(["GET", "HEAD", "POST"])
def add_host(request: PageRequest) -> HttpResponse:
    form = HostForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            added = services.add_by_hand(**form.cleaned_data, actor=request.user)
        except HostsError as error:
            refuse(form, error)
        else:
            return redirect("host", added.pk)
    return render(
        request, "hosts/host_add.html", SECTION | {"form": form}, status=422 if form.errors else 200
    )


@require_POST
@open_to_grants
def probe(request: PageRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(shown(request), pk=pk)
    demand(request.user, "probe", found)
    services.wake(found)
    messages.info(
        request,
        _("%(host)s is being asked. This page shows the answer as soon as it comes.") % {"host": found},
    )
    return redirect("host", pk)


@sensitive_post_parameters("code")
@require_http_methods(["GET", "HEAD", "POST"])
@open_to_grants
def adopt(request: PageRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(shown(request), pk=pk)
    demand(request.user, "adopt", found)
    form = AdoptForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            services.adopt(found, form.cleaned_data["code"], actor=request.user)
        except HostsError as error:
            refuse(form, error)
        else:
            messages.success(request, _("%(host)s is yours now.") % {"host": found})
            return redirect("host", pk)
    context = SECTION | {"host": found, "form": form, "in_dialog": request.htmx}
    return render(request, "hosts/adopt.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@open_to_grants
def approve(request: PageRequest, pk: int) -> HttpResponse:
    return _decide(request, pk, "approve", services.approve, _("%(host)s was approved."))


@require_http_methods(["GET", "HEAD", "POST"])
@open_to_grants
def deny(request: PageRequest, pk: int) -> HttpResponse:
    return _decide(
        request, pk, "deny", services.deny, _("%(host)s was denied. It is not spoken to any more.")
    )


@require_http_methods(["GET", "HEAD", "POST"])
@open_to_grants
def retire(request: PageRequest, pk: int) -> HttpResponse:
    return _decide(
        request,
        pk,
        "retire",
        services.retire,
        _("%(host)s was retired. This page shows whether it has heard of it."),
    )


def _decide(request: PageRequest, pk: int, verb: str, act: Callable[..., Any], done: str) -> HttpResponse:
    """Ask first, naming the host and what is lost; then act."""
    found = get_object_or_404(shown(request), pk=pk)
    demand(request.user, verb, found)
    if verb in proof.PROVEN and (detour := proof.detour(request, request.user)):
        return detour
    if request.method != "POST":
        context = SECTION | {"host": found, "verb": verb, "in_dialog": request.htmx}
        return render(request, f"hosts/{verb}.html", context)
    try:
        act(found, actor=request.user)
    except HostsError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, done % {"host": found})
    return redirect("host", pk)
