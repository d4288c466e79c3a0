"""The pages of join keys."""

import json
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from access.requests import PageRequest

from .. import services
from ..errors import HostsError
from ..forms import JoinKeyForm, refuse
from ..models import JoinKey, QuarantinedKey


@require_safe
def join_keys(request: PageRequest) -> HttpResponse:
    context = {
        "section": "join-keys",
        "keys": JoinKey.objects.select_related("created_by")[:200],
        "quarantined": QuarantinedKey.objects.all()[:50],
    }
    return render(request, "hosts/join_keys.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def create_join_key(request: PageRequest) -> HttpResponse:
    """The answer to the form shows join.json, this once: the secret is not kept."""
    form = JoinKeyForm(request.POST or None)
    context: dict[str, Any] = {"section": "join-keys", "form": form}
    if request.method != "POST" or not form.is_valid():
        return render(request, "hosts/join_key_form.html", context, status=422 if form.errors else 200)
    try:
        key, join = services.create_join_key(**form.cleaned_data, actor=request.user)
    except HostsError as error:
        refuse(form, error)
        return render(request, "hosts/join_key_form.html", context, status=422)
    return render(
        request, "hosts/join_key_created.html", context | {"key": key, "join": json.dumps(join, indent=2)}
    )


@require_http_methods(["GET", "HEAD", "POST"])
def revoke_join_key(request: PageRequest, pk: str) -> HttpResponse:
    key = get_object_or_404(JoinKey, pk=pk)
    if request.method != "POST":
        context = {"section": "join-keys", "key": key, "in_dialog": request.htmx}
        return render(request, "hosts/join_key_revoke.html", context)
    services.revoke_join_key(key, actor=request.user)
    messages.success(
        request, _("The join key %(key)s was revoked. Hosts that joined by it stay owned.") % {"key": key}
    )
    return redirect("join-keys")
