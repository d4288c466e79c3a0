"""Telling a domain something: its menu of verbs, the question before a dangerous one, and the act itself.

An act comes from a form and works without scripts. With them (`request.htmx`) the answer is the row it came
from, drawn anew, or nothing; the browser is told what to say and what to fetch again by events.
"""

from http import HTTPStatus
from uuid import uuid4

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe
from django_htmx.http import trigger_client_event

from access import proof
from access.permissions import demand, open_to_grants
from access.requests import PageRequest
from hosts.errors import HostsError
from hosts.models import Operation
from hosts.untrusted import clean

from .. import services
from ..errors import DomainError
from ..forms import MetadataForm
from ..models import Domain
from ..verbs import VERBS, Verb
from .domain import buttons
from .rows import shown
from .table import SECTION, draw_row

# A UUID has 36 characters.
LONGEST_KEY = 64


@require_safe
@open_to_grants
def verbs(request: PageRequest, pk: int) -> HttpResponse:
    """All verbs that are allowed now: the menu of a row, or a page without scripts."""
    found = get_object_or_404(shown(request), pk=pk)
    context = {"domain": found, "verbs": buttons(found, request.rights), "in_dialog": request.htmx}
    return render(request, "domains/verbs.html", SECTION | context)


@require_http_methods(["GET", "HEAD", "POST"])
@open_to_grants
def verb(request: PageRequest, pk: int, name: str) -> HttpResponse:
    """Ask, naming the domain and what is lost; or act."""
    told = VERBS.get(name)
    if told is None or name == "metadata":
        raise Http404
    found = get_object_or_404(shown(request), pk=pk)
    demand(request.user, name, found)
    if name in proof.PROVEN and (detour := proof.detour(request, request.user)):
        return detour
    if request.method != "POST":
        if not told.button:
            return redirect("domain", pk)
        context = {"domain": found, "verb": told, "key": uuid4(), "in_dialog": request.htmx}
        return render(request, "domains/verb.html", SECTION | context)
    args = {"enabled": request.POST.get("enabled") == "true"} if name == "autostart" else None
    try:
        operation = services.act(found, name, args=args, actor=request.user, key=key_of(request))
    except (DomainError, HostsError) as error:
        return _refused(request, found, told, error)
    return _accepted(request, found, told, operation)


def key_of(request: PageRequest) -> str:
    """The key of the form that is sent: the same form is one operation, however often it is sent."""
    return clean(request.POST.get("key", ""), LONGEST_KEY)


def _accepted(request: PageRequest, found: Domain, told: Verb, operation: Operation) -> HttpResponse:
    text = _("%(domain)s: %(verb)s") % {"domain": found, "verb": told.doing}
    if request.htmx:
        return say(_drawn_anew(request, found), text, href=reverse("operation", args=[operation.pk]))
    messages.info(request, text)
    # One that is deleted may have no page by the time that the browser asks for it.
    return redirect("operation", operation.pk) if told.name == "undefine" else redirect("domain", found.pk)


def _refused(request: PageRequest, found: Domain, told: Verb, error: Exception) -> HttpResponse:
    if request.htmx:
        return say(_drawn_anew(request, found), str(error), tone="bad")
    context = {"domain": found, "verb": told, "reason": str(error)}
    return render(request, "domains/refused.html", SECTION | context, status=HTTPStatus.CONFLICT)


def _drawn_anew(request: PageRequest, found: Domain) -> HttpResponse:
    """The row that was told something; elsewhere nothing, since the page fetches its own parts."""
    if request.htmx.target == f"domain-{found.pk}":
        return draw_row(request, found.pk)
    return HttpResponse(status=204)


def say(
    response: HttpResponse, text: str, *, tone: str = "good", href: str = "", done: str = ""
) -> HttpResponse:
    """Have the browser show a short message, and fetch again what it shows of the matter.

    `done` names what is over with it, such as a selection.
    """
    told = {"text": text, "tone": tone, "href": href, "done": done}
    return trigger_client_event(response, "acted", told)


@require_http_methods(["GET", "HEAD", "POST"])
@open_to_grants
def edit(request: PageRequest, pk: int) -> HttpResponse:
    """Title, description and tags: what a person says about a domain, kept by its libvirt."""
    found = get_object_or_404(shown(request), pk=pk)
    demand(request.user, "metadata", found)
    form = MetadataForm(request.POST or None, domain=found)
    if request.method == "POST" and form.is_valid():
        try:
            if changes := form.changes():
                services.act(found, "metadata", args=changes, actor=request.user)
                messages.info(request, _("%(domain)s: its texts are being changed.") % {"domain": found})
            return redirect("domain", pk)
        except (DomainError, HostsError) as error:
            form.add_error(None, str(error))
    context = {"domain": found, "form": form}
    return render(request, "domains/edit.html", SECTION | context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@open_to_grants
def forget(request: PageRequest, pk: int) -> HttpResponse:
    """Delete what is known of a domain that its host does not list any more."""
    found = get_object_or_404(shown(request), pk=pk)
    demand(request.user, "forget", found)
    if request.method != "POST":
        context = {"domain": found, "in_dialog": request.htmx}
        return render(request, "domains/forget.html", SECTION | context)
    try:
        services.forget(found)
    except DomainError as error:
        messages.error(request, str(error))
        return redirect("domain", pk)
    messages.success(request, _("%(domain)s was forgotten.") % {"domain": found})
    return redirect("domains")
