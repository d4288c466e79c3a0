"""What every answer carries to the browser: policies by which it runs our own files alone."""

from collections.abc import Callable
from typing import Any, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse

# Content Security Policy Level 3: nothing but what is named here, nothing inline, no frame around us.
STRICT = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",  # Tabler draws its form controls with data: images
    "font-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
# The browsable API and its documentation, which others wrote, have style elements. None has inline scripts.
API_PAGES = STRICT | {"style-src": "'self' 'unsafe-inline'"}

# From these pages people are sent on to the provider that lets them in: browsers ask that of the form, too.
TO_PROVIDER = ("/account/login/", "/account/reauthenticate/")

# No page of ours asks a browser for one of these (Permissions Policy, W3C).
UNUSED = (
    *("accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "hid", "magnetometer"),
    *("microphone", "midi", "payment", "serial", "usb", "xr-spatial-tracking"),
)

# The same on every answer. Django's SecurityMiddleware has most of them, but not on what fails before it.
EVERYWHERE = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in UNUSED),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def header(policy: dict[str, str]) -> str:
    return "; ".join(f"{directive} {sources}" for directive, sources in policy.items())


def policy_of(path: str) -> dict[str, str]:
    provider = cast("Any", settings.VIRSHMANAGER_OIDC)
    if provider and path.startswith(TO_PROVIDER):
        return STRICT | {"form-action": f"'self' {provider.origin}"}
    return API_PAGES if path.startswith("/api/") else STRICT


class SecurityHeadersMiddleware:
    """The outermost: also redirects, static files, refusals and errors pass it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", header(policy_of(request.path)))
        for name, value in EVERYWHERE.items():
            response.headers.setdefault(name, value)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            # A browser that goes back would show what was so, with the clock of then, even after signing out.
            response.headers.setdefault("Cache-Control", "no-store")
        return response
