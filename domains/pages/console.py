"""The page of a domain's console, which fills a window."""

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from access.permissions import may, open_to_grants
from access.requests import PageRequest

from ..choices import ConsoleKind
from .rows import shown


@require_safe
@open_to_grants
def console(request: PageRequest, pk: int) -> HttpResponse:
    """The console of a domain; `?kind=` says which, and the page can show the other one as well."""
    found = get_object_or_404(shown(request), pk=pk)
    kind = request.GET.get("kind")
    context = {
        "domain": found,
        "kind": kind if kind in ConsoleKind.values else ConsoleKind.SERIAL.value,
        "at_once": True,
        "may_type": may(request.user, "type", found),
    }
    return render(request, "domains/console.html", context)
