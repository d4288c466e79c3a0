"""Defining a domain from XML, on a chosen host. libvirt judges the XML, and is waited for a moment."""

from uuid import uuid4

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from access.permissions import demand, open_to_grants
from access.requests import PageRequest
from hosts.choices import OperationState
from hosts.errors import HostsError
from hosts.models import Host, Operation
from hosts.services import wait_for

from .. import services
from ..errors import DomainError
from ..forms import DefineForm
from ..models import Domain
from .table import SECTION

# A host that answers does so in a fraction of this; of another the operation's page tells more.
WAIT_SECONDS = 5.0


@require_http_methods(["GET", "HEAD", "POST"])
@open_to_grants
def define(request: PageRequest, host_pk: int) -> HttpResponse:
    host = get_object_or_404(Host.objects.visible_to(request.user).with_status(), pk=host_pk)
    demand(request.user, "define", host)
    form = DefineForm(request.POST or None, initial={"key": uuid4()})
    if request.method == "POST" and form.is_valid():
        try:
            operation = services.define(host, **form.cleaned_data, actor=request.user, here=True)
        except (DomainError, HostsError) as error:
            form.add_error(None, str(error))
        else:
            operation = wait_for(operation, WAIT_SECONDS)
            if operation.state != OperationState.FAILED:
                return _defined(request, operation)
            form.refuse(operation.problem or {})
    context = {"host": host, "form": form}
    return render(request, "domains/define.html", SECTION | context, status=422 if form.errors else 200)


def _defined(request: PageRequest, operation: Operation) -> HttpResponse:
    """To the domain, if the mirror has it by now; else to the operation, which tells how it goes on."""
    made = operation.result.get("uuid")
    found = Domain.objects.filter(host=operation.host_id, uuid=made).first() if made else None
    if found is None:
        return redirect("operation", operation.pk)
    messages.success(request, _("%(domain)s was defined.") % {"domain": found})
    return redirect("domain", found.pk)
