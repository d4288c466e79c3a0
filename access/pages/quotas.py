"""Quotas: forms of the pages of users and of groups, and the page of one's own."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import Group, User
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from .. import services
from ..forms import QuotaForm
from ..permissions import open_to_grants
from ..requests import PageRequest
from .groups import page_of as page_of_group
from .users import page_of as page_of_user


@require_safe
@open_to_grants
def quota(request: PageRequest) -> HttpResponse:
    """What one may still create."""
    room = services.room_of(request.user)
    limited = any(one.limit is not None for one in room.values())
    return render(request, "access/quota.html", {"room": room, "limited": limited})


@require_POST
def limit_user(request: PageRequest, pk: int) -> HttpResponse:
    return _limit(request, get_object_or_404(User, pk=pk), "user", page_of_user)


@require_POST
def limit_group(request: PageRequest, pk: int) -> HttpResponse:
    return _limit(request, get_object_or_404(Group, pk=pk), "group", page_of_group)


def _limit(request: PageRequest, whom: Any, back: str, page_of: Any) -> HttpResponse:
    form = QuotaForm(services.quota_of(whom).limits, request.POST)
    if not form.is_valid():
        answer: HttpResponse = page_of(request, whom, quota=form)
        return answer
    services.set_quota(whom, form.cleaned_data, actor=request.user)
    messages.success(request, _("The quota of %(name)s was saved.") % {"name": whom})
    return redirect(back, whom.pk)
