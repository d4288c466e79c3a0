"""The setup page, where the first administrator is made, and the page of API tokens."""

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from . import services
from .errors import SetupClosed
from .forms import FirstAdministratorForm, TokenForm
from .models import ApiToken
from .requests import PageRequest


@login_not_required
@never_cache
@sensitive_post_parameters("password1", "password2")
@require_http_methods(["GET", "HEAD", "POST"])
def setup(request: HttpRequest, secret: str) -> HttpResponse:
    """A wrong, spent or expired link is 404, as is any link once a user exists."""
    if not services.setup_is_open(secret):
        raise Http404
    form = FirstAdministratorForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "account/setup.html", {"form": form})
    try:
        user = services.create_first_administrator(
            secret=secret, username=form.cleaned_data["username"], password=form.cleaned_data["password1"]
        )
    except SetupClosed:
        raise Http404 from None
    login(request, user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return redirect("overview")


@require_safe
def tokens(request: PageRequest) -> HttpResponse:
    return render(request, "access/tokens.html", {"form": TokenForm(), "tokens": _tokens_of(request)})


@never_cache
@require_POST
def create_token(request: PageRequest) -> HttpResponse:
    """The answer shows the token, this once."""
    form = TokenForm(request.POST)
    context: dict[str, object] = {"form": form}
    if form.is_valid():
        token, text = services.create_token(user=request.user, **form.cleaned_data)
        context = {"form": TokenForm(), "created": token, "text": text}
    context["tokens"] = _tokens_of(request)
    return render(request, "access/tokens.html", context, status=422 if form.errors else 200)


@require_POST
def delete_token(request: PageRequest, pk: int) -> HttpResponse:
    token = get_object_or_404(_tokens_of(request), pk=pk)
    token.delete()
    messages.success(request, _("The token %(name)s was deleted.") % {"name": token.name})
    return redirect("tokens")


def _tokens_of(request: PageRequest) -> QuerySet[ApiToken]:
    """A person sees and ends his own tokens."""
    own: QuerySet[ApiToken] = ApiToken.objects.filter(user=request.user)
    return own
