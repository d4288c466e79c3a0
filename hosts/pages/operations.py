"""The journal: every change that was asked for, with its verdict."""

from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe
from django_htmx.http import trigger_client_event

from access.listing import is_filtered, kept, listing
from access.permissions import open_to_grants
from access.requests import PageRequest, key_in

from .. import services
from ..choices import OPEN_STATES, OperationState, TargetType
from ..errors import HostsError
from ..filters import OperationFilter
from ..models import Host, Operation, OperationQuerySet

SECTION = {"section": "operations"}
ORDERINGS = {"created_at", "finished_at", "state", "verb", "host_name", "target_name", "actor_name"}
KEPT = (*(name for name in OperationFilter.base_filters if name != "search"), "ordering")
CHILDREN_SHOWN = 500
# Arguments that a person gave, and reads on the operation's page.
TOLD = ("enabled", "title", "description", "tags")


def shown(request: PageRequest) -> OperationQuerySet:
    return Operation.objects.visible_to(request.user).with_overdue().select_related("host")


@require_safe
@open_to_grants
def operations(request: PageRequest) -> HttpResponse:
    """The newest first. What was asked for in one go is one line, unless something is looked for."""
    rows = shown(request)
    if not is_filtered(request, OperationFilter):
        rows = rows.filter(parent=None)
    found = listing(request, OperationFilter, rows, orderings=ORDERINGS, default="-created_at")
    context = {
        "list": found,
        "operations": with_parts(found.page.object_list),
        "ordering": found.ordering,
        "chosen": request.GET.getlist("state"),
        "open_states": list(OPEN_STATES),
        "verdicts": [(value, label) for value, label in OperationState.choices if value not in OPEN_STATES],
        "kept": kept(request, KEPT),
        "filters": _removable(request),
    }
    return render(request, "hosts/operations.html", SECTION | context)


def with_parts(operations: Iterable[Operation]) -> list[Operation]:
    """The operations, those of several domains with `parts`: how many of them are in each state."""
    found: list[Any] = list(operations)
    parents = {one.pk: one for one in found if one.target_type == TargetType.SELECTION}
    counts = Operation.objects.filter(parent__in=parents).order_by().values_list("parent", "state")
    labels = dict(OperationState.choices)
    for one in parents.values():
        one.parts = []
    for parent, state, n in counts.annotate(n=Count("pk")):
        parents[parent].parts.append((state, labels[state], n))
    return found


def _removable(request: PageRequest) -> list[tuple[str, str]]:
    """The filters of the address that no other chip shows: words for each, and the address without it."""
    key = key_in(request.GET, "host")
    named = Host.objects.named_to(request.rights).filter(pk=key).first() if key else None
    words = {"host": str(named) if named else "", "verb": request.GET.get("verb", "")}
    words |= {name: f"{name} {request.GET[name]}" for name in ("domain", "parent") if request.GET.get(name)}
    without = []
    for name, text in words.items():
        query = request.GET.copy()
        query.pop(name, None)
        query.pop("page", None)
        without.append((text, query.urlencode()))
    return [(text, query) for text, query in without if text]


@require_safe
@open_to_grants
def operation(request: PageRequest, pk: str) -> HttpResponse:
    found = get_object_or_404(shown(request), pk=pk)
    # Who sees a part need not see the whole.
    parent = shown(request).filter(pk=found.parent_id).first() if found.parent_id else None
    children = shown(request).filter(parent=found).order_by("position")
    context = {
        "operation": with_parts([found])[0],
        "parent": parent,
        "told": [(name, value) for name, value in found.args.items() if name in TOLD],
        "cancellable": services.is_cancellable(found) and services.may_cancel(found, request.user),
        "events": found.events.all(),
        "children": children[:CHILDREN_SHOWN],
        "children_limit": CHILDREN_SHOWN,
    }
    return render(request, "hosts/operation.html", SECTION | context)


@require_safe
@open_to_grants
def open_operations(request: PageRequest) -> HttpResponse:
    """How many are not done yet: the small number beside the navigation's entry."""
    return render(request, "hosts/_open_operations.html")


@require_http_methods(["GET", "HEAD", "POST"])
@open_to_grants
def cancel_operation(request: PageRequest, pk: str) -> HttpResponse:
    found = get_object_or_404(shown(request), pk=pk)
    if not services.may_cancel(found, request.user):
        raise PermissionDenied
    if request.method != "POST":
        context = {"operation": found, "in_dialog": request.htmx}
        return render(request, "hosts/operation_cancel.html", SECTION | context)
    try:
        services.cancel(found, actor=request.user)
        text, tone = _("Its cancellation was asked for."), "good"
    except HostsError as error:
        text, tone = str(error), "bad"
    if request.htmx:
        told = {"text": text, "tone": tone, "href": ""}
        return trigger_client_event(HttpResponse(status=204), "acted", told)
    (messages.info if tone == "good" else messages.error)(request, text)
    return redirect("operation", pk)
