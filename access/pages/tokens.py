"""The page of one's own API tokens."""

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from .. import proof, services
from ..forms import TokenForm
from ..models import ApiToken
from ..permissions import open_to_grants
from ..requests import PageRequest


@require_safe
@open_to_grants
def tokens(request: PageRequest) -> HttpResponse:
    return render(request, "access/tokens.html", {"form": TokenForm(), "tokens": _tokens_of(request)})


@never_cache
@require_POST
@open_to_grants
def create_token(request: PageRequest) -> HttpResponse:
    """The answer shows the token, this once."""
    if detour := proof.detour(request, request.user, back=reverse("tokens")):
        return detour
    form = TokenForm(request.POST)
    context: dict[str, object] = {"form": form}
    if form.is_valid():
        token, text = services.create_token(user=request.user, **form.cleaned_data)
        context = {"form": TokenForm(), "created": token, "text": text}
    context["tokens"] = _tokens_of(request)
    return render(request, "access/tokens.html", context, status=422 if form.errors else 200)


@require_POST
@open_to_grants
def delete_token(request: PageRequest, pk: int) -> HttpResponse:
    token = get_object_or_404(_tokens_of(request), pk=pk)
    token.delete()
    messages.success(request, _("The token %(name)s was deleted.") % {"name": token.name})
    return redirect("tokens")


def _tokens_of(request: PageRequest) -> QuerySet[ApiToken]:
    """A person sees and ends his own tokens."""
    own: QuerySet[ApiToken] = ApiToken.objects.filter(user=request.user)
    return own
