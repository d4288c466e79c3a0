"""Those that wait for a person, with their keys; and the verdict on each that was chosen."""

from collections.abc import Sequence
from http import HTTPStatus

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from access.requests import PageRequest, keys_in

from .. import services
from ..choices import MOST_APPROVED
from ..models import Host
from ..services import Verdict


@require_http_methods(["GET", "HEAD", "POST"])
def approve_hosts(request: PageRequest) -> HttpResponse:
    if request.method != "POST":
        return _ask(request)
    ids = keys_in(request.POST, "ids")
    if not ids or len(ids) > MOST_APPROVED:
        messages.error(request, _("Select from 1 to %(most)d hosts.") % {"most": MOST_APPROVED})
        return redirect("approve-hosts")
    verdicts = services.approve_many(ids, actor=request.user)
    refused = [verdict for verdict in verdicts if verdict.problem]
    if approved := len(verdicts) - len(refused):
        told = ngettext("%d host was approved.", "%d hosts were approved.", approved) % approved
        messages.success(request, told)
    return _ask(request, refused) if refused else redirect("hosts")


def _ask(request: PageRequest, refused: Sequence[Verdict] = ()) -> HttpResponse:
    waiting = Host.objects.waiting().select_related("join_key")
    context = {
        "section": "hosts",
        "hosts": waiting[:MOST_APPROVED],
        "total": waiting.count(),
        "most": MOST_APPROVED,
        "refused": refused,
    }
    return render(request, "hosts/approve_many.html", context, status=HTTPStatus.CONFLICT if refused else 200)
