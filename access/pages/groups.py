"""The pages of groups."""

from django.contrib import messages
from django.contrib.auth.models import Group
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from .. import proof, services
from ..forms import GrantForm, GroupForm, QuotaForm
from ..models import Grant
from ..requests import PageRequest

SECTION = {"section": "users"}
MEMBERS_SHOWN = 200


@require_safe
def groups(request: PageRequest) -> HttpResponse:
    return _page(request, GroupForm())


@require_POST
def create_group(request: PageRequest) -> HttpResponse:
    form = GroupForm(request.POST)
    if not form.is_valid():
        return _page(request, form)
    made = services.create_group(form.cleaned_data["name"])
    return redirect("group", made.pk)


def _page(request: PageRequest, form: GroupForm) -> HttpResponse:
    listed = Group.objects.annotate(
        members=Count("user", distinct=True), granted=Count("grants", distinct=True)
    )
    context = SECTION | {"groups": listed.order_by("name"), "form": form}
    return render(request, "access/groups.html", context, status=422 if form.errors else 200)


@require_safe
def group(request: PageRequest, pk: int) -> HttpResponse:
    return page_of(request, get_object_or_404(Group, pk=pk))


def page_of(
    request: PageRequest, found: Group, granting: GrantForm | None = None, quota: QuotaForm | None = None
) -> HttpResponse:
    """The page of a group, also with what was wrong about a grant or a quota that was asked for."""
    context = {
        "found": found,
        "grants": services.told(Grant.objects.filter(group=found).select_related("created_by")),
        "members": found.user_set.order_by("username")[:MEMBERS_SHOWN],
        "form": granting or GrantForm(),
        "quota": quota or QuotaForm(services.quota_of(found).limits),
    }
    return render(request, "access/group.html", SECTION | context, status=422 if granting or quota else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def rename_group(request: PageRequest, pk: int) -> HttpResponse:
    """A name can give rights: a provider or a directory says by names which groups somebody is in."""
    found = get_object_or_404(Group, pk=pk)
    if detour := proof.detour(request, request.user):
        return detour
    form = GroupForm(request.POST or None, initial={"name": found.name})
    if request.method == "POST" and form.is_valid():
        services.rename_group(found, form.cleaned_data["name"])
        messages.success(request, _("The group is called %(name)s now.") % {"name": found})
        return redirect("group", pk)
    context = SECTION | {"found": found, "form": form, "in_dialog": request.htmx}
    return render(request, "access/group_rename.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def delete_group(request: PageRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Group, pk=pk)
    if request.method != "POST":
        context = SECTION | {"found": found, "in_dialog": request.htmx}
        return render(request, "access/group_delete.html", context)
    found.delete()
    messages.success(request, _("The group %(name)s was deleted.") % {"name": found})
    return redirect("groups")
