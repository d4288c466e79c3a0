"""The page of the audit, and its export."""

from django.http import HttpResponse, HttpResponseBadRequest, HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from ..choices import Action, Result
from ..exporting import streamed
from ..filters import AuditFilter
from ..listing import kept, listing
from ..models import AuditEntry
from ..requests import PageRequest

# What the form above the table asks for; other filters come from links, and stay.
FIELDS_OF_THE_FORM = frozenset({"search", "actor", "action", "result", "target", "after", "before"})


@require_safe
def audit(request: PageRequest) -> HttpResponse:
    """Who did what, the newest first."""
    found = listing(request, AuditFilter, AuditEntry.objects.all(), orderings={"at"}, default="-at")
    shown = [name for name in AuditFilter.base_filters if name not in FIELDS_OF_THE_FORM]
    context = {
        "section": "audit",
        "list": found,
        "ordering": found.ordering,
        "entries": found.page.object_list,
        "actions": Action.choices,
        "results": Result.choices,
        "filters": request.GET,
        "kept": kept(request, [*shown, "ordering"]),
    }
    return render(request, "access/audit.html", context)


@require_safe
def export_audit(request: PageRequest) -> HttpResponseBase:
    """The rows that the address asks for, as a file."""
    filters = AuditFilter(request.GET, queryset=AuditEntry.objects.all(), request=request)
    if not filters.is_valid():
        return HttpResponseBadRequest(_("A filter in the address is not known."))
    return streamed(request, filters.qs)
