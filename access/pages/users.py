"""The pages of users."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from .. import proof, services
from ..filters import UserFilter
from ..forms import GrantForm, QuotaForm, UserForm
from ..listing import listing
from ..models import Grant
from ..requests import PageRequest, keys_in

SECTION = {"section": "users"}
ORDERINGS = {"username", "is_active", "last_login", "date_joined"}


@require_safe
def users(request: PageRequest) -> HttpResponse:
    shown = User.objects.prefetch_related("groups").annotate(granted=Count("grants", distinct=True))
    found = listing(
        request, UserFilter, shown, counted=User.objects.all(), orderings=ORDERINGS, default="username"
    )
    context = {"list": found, "ordering": found.ordering, "users": found.page.object_list}
    return render(request, "access/users.html", SECTION | context)


@require_safe
def user(request: PageRequest, pk: int) -> HttpResponse:
    return page_of(request, get_object_or_404(User, pk=pk))


def page_of(
    request: PageRequest, found: User, granting: GrantForm | None = None, quota: QuotaForm | None = None
) -> HttpResponse:
    """The page of a user, also with what was wrong about a grant or a quota that was asked for."""
    own = set(found.groups.values_list("pk", flat=True))
    context: dict[str, Any] = {
        "found": found,
        "grants": services.told(Grant.objects.of(found).select_related("group", "created_by")),
        "groups": [(group, group.pk in own) for group in Group.objects.order_by("name")],
        "form": granting or GrantForm(),
        "quota": quota or QuotaForm(services.quota_of(found).limits),
        "room": services.room_of(found),
        "changeable": request.user.is_superuser or not found.is_superuser,
    }
    return render(request, "access/user.html", SECTION | context, status=422 if granting or quota else 200)


@sensitive_post_parameters("password1", "password2")
@require_http_methods(["GET", "HEAD", "POST"])
def create_user(request: PageRequest) -> HttpResponse:
    if detour := proof.detour(request, request.user):
        return detour
    form = UserForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        made = services.create_user(
            name=form.cleaned_data["username"], password=form.cleaned_data["password1"]
        )
        messages.success(request, _("%(name)s can sign in now. Next: grant roles.") % {"name": made})
        return redirect("user", made.pk)
    context = SECTION | {"form": form}
    return render(request, "access/user_create.html", context, status=422 if form.errors else 200)


@require_POST
def set_active(request: PageRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(User, pk=pk)
    active = request.POST.get("active") == "true"
    back = reverse("user", args=[pk])
    if active and (detour := proof.detour(request, request.user, back=back)):
        return detour
    try:
        services.set_active(found, active=active, actor=request.user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        text = _("%(name)s can sign in again.") if active else _("%(name)s is disabled: what was open ends.")
        messages.success(request, text % {"name": found})
    return redirect("user", pk)


@require_POST
def put_into_groups(request: PageRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(User, pk=pk)
    if detour := proof.detour(request, request.user, back=reverse("user", args=[pk])):
        return detour
    keys = keys_in(request.POST, "groups", digits=9)
    services.put_into_groups(found, Group.objects.filter(pk__in=keys), actor=request.user)
    messages.success(request, _("The groups of %(name)s were changed.") % {"name": found})
    return redirect("user", pk)
