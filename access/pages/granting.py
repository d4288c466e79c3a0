"""Granting a role, and taking it back: forms of the pages of users and of groups."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import Group, User
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from .. import proof, services
from ..forms import GrantForm
from ..models import Grant
from ..requests import PageRequest
from . import groups, users


@require_POST
def grant_to_user(request: PageRequest, pk: int) -> HttpResponse:
    return _grant(request, get_object_or_404(User, pk=pk), reverse("user", args=[pk]), users.page_of)


@require_POST
def grant_to_group(request: PageRequest, pk: int) -> HttpResponse:
    return _grant(request, get_object_or_404(Group, pk=pk), reverse("group", args=[pk]), groups.page_of)


def _grant(request: PageRequest, whom: Any, back: str, page_of: Any) -> HttpResponse:
    if detour := proof.detour(request, request.user, back=back):
        return detour
    form = GrantForm(request.POST)
    if not form.is_valid():
        answer: HttpResponse = page_of(request, whom, granting=form)
        return answer
    services.grant(whom, form.cleaned_data["role"], form.place, actor=request.user)
    messages.success(request, _("The role was granted to %(name)s.") % {"name": whom})
    return redirect(back)


@require_POST
def revoke_grant(request: PageRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Grant.objects.select_related("user", "group"), pk=pk)
    back = ("group", found.group_id) if found.group_id else ("user", found.user_id)
    found.delete()
    messages.success(request, _("The grant was taken back: what was open by it ends."))
    return redirect(*back)
