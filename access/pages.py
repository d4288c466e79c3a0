"""The setup page: where the first administrator is made."""

from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from . import services
from .errors import SetupClosed
from .forms import FirstAdministratorForm


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
