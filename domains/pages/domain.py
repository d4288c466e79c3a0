"""The page of one domain, and the fragments that it loads by itself."""

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from access.permissions import Rights, may, open_to_grants
from access.requests import PageRequest
from access.verbs import SEE
from hosts.choices import TargetType
from hosts.errors import AgentError
from hosts.models import Operation

from .. import services
from ..errors import DomainError
from ..models import Domain
from ..verbs import VERBS, Verb
from .rows import last_operations, shown
from .table import SECTION

OPERATIONS_SHOWN = 20


@require_safe
@open_to_grants
def domain(request: PageRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(shown(request), pk=pk)
    services.wish_details(found)
    last = last_operations([pk]).get(pk)
    of_domain = Operation.objects.with_overdue().filter(target_type=TargetType.DOMAIN, target_id=pk)
    context = {
        "domain": found,
        "verbs": buttons(found, request.rights),
        "actions": services.actions_of(found, request.rights),
        "host_is_seen": may(request.user, SEE, found.host),
        "may_type": may(request.user, "type", found),
        "may_forget": may(request.user, "forget", found),
        "pending": last if last and last.is_open else None,
        "operations": of_domain.order_by("-created_at", "-id")[:OPERATIONS_SHOWN],
    }
    return render(request, "domains/domain.html", SECTION | context)


def buttons(found: Domain, rights: Rights) -> list[Verb]:
    """The verbs that are allowed now and need no form; in the order of their table."""
    allowed = services.actions_of(found, rights)
    return [verb for verb in VERBS.values() if verb.button and verb.name in allowed]


@require_safe
@open_to_grants
def definition(request: PageRequest, pk: int) -> HttpResponse:
    """The fragment with the domain's XML. It asks the host, so the page loads it afterwards, by itself."""
    found = get_object_or_404(shown(request), pk=pk)
    try:
        context = {"xml": services.xml(found)}
    except (AgentError, DomainError) as error:
        context = {"problem": str(error)}
    return render(request, "domains/_definition.html", context)


@require_safe
@open_to_grants
def screen(request: PageRequest, pk: int) -> HttpResponse:
    """The domain's screen as a PNG, or in words why there is none."""
    found = get_object_or_404(shown(request), pk=pk)
    try:
        picture = services.screenshot(found)
    except (AgentError, DomainError) as error:
        return HttpResponse(str(error), status=503, content_type="text/plain; charset=utf-8")
    return HttpResponse(picture, content_type="image/png", headers={"Cache-Control": "no-store"})
