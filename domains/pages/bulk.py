"""One verb for all selected domains: first what it would do, to each of them, then the act."""

from http import HTTPStatus
from typing import Final, cast
from urllib.parse import urlencode
from uuid import uuid4

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from access import proof
from access.permissions import open_to_grants
from access.requests import PageRequest, keys_in
from hosts.errors import HostsError

from .. import services
from ..errors import DomainError
from ..forms import BulkForm
from ..verbs import VERBS, Verb
from .acting import key_of, say
from .table import SECTION

# What a page of the table can select at most, with some room.
MOST_SELECTED: Final = 500


@require_http_methods(["GET", "HEAD", "POST"])
@open_to_grants
def bulk(request: PageRequest) -> HttpResponse:
    """Ask, naming how many and what is lost, and which are left out and why; or act."""
    asked = request.POST if request.method == "POST" else request.GET
    verb = VERBS.get(asked.get("verb", ""))
    if verb is None or not verb.button:
        raise Http404
    if not request.rights.operates:
        raise PermissionDenied
    keys = list(dict.fromkeys(keys_in(asked, "ids")))[:MOST_SELECTED]
    if verb.name in proof.PROVEN:
        question = f"{request.path}?{urlencode({'verb': verb.name, 'ids': keys}, doseq=True)}"
        if detour := proof.detour(request, request.user, back=question):
            return detour
    form = BulkForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            operation = services.bulk(
                verb=verb.name,
                selector={"ids": keys},
                actor=request.user,
                key=key_of(request),
                **form.cleaned_data,
            )
        except (DomainError, HostsError) as error:
            form.add_error(None, str(error))
        else:
            text = _("%(verb)s %(domains)s") % {"verb": verb.doing, "domains": operation.target_name}
            at = reverse("operation", args=[operation.pk])
            if request.htmx:
                return say(HttpResponse(status=204), text, href=at, done="bulk")
            messages.info(request, text)
            return redirect(at)
    return _ask(request, verb, keys, form)


def _ask(request: PageRequest, verb: Verb, keys: list[int], form: BulkForm) -> HttpResponse:
    if form.errors and request.htmx:
        # The dialog is closed by now.
        told = [str(text) for texts in form.errors.values() for text in cast("list[object]", texts)]
        return say(HttpResponse(status=204), " ".join(told), tone="bad")
    plan = services.Plan()
    if keys:
        plan = services.plan(verb=verb.name, selector={"ids": keys}, actor=request.user)
    context = {
        "verb": verb,
        "keys": keys,
        "key": uuid4(),
        "plan": plan,
        "domains": ngettext("%d domain", "%d domains", len(plan.chosen)) % len(plan.chosen),
        "form": form,
        "in_dialog": request.htmx,
    }
    status = HTTPStatus.CONFLICT if form.errors else 200
    return render(request, "domains/bulk.html", SECTION | context, status=status)
