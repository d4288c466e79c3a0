"""Access is denied until declared: a route open to strangers that is not in this list stops the start."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.permissions import AllowAny

# Logging out without being logged in leads to the login page.
OPEN_TO_STRANGERS = frozenset(
    {
        *("healthz", "readyz", "setup", "recover", "admin-login", "admin:login"),
        *("account_login", "account_logout", "mfa_authenticate", "mfa_login_webauthn"),
        *("oidc-login", "oidc-callback"),
    }
)


def routes(resolver: URLResolver, namespace: str = "", prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """Walk every route below `resolver`: its full name, its pattern as text and its view."""
    for entry in resolver.url_patterns:
        text = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            inner = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
            yield from routes(entry, inner, text)
        elif isinstance(entry, URLPattern):
            yield f"{namespace}{entry.name or ''}", text, entry.callback


def is_closed(view: Any) -> bool:
    """Tell whether the login middleware or declared permissions of the API stand before `view`."""
    if getattr(view, "login_required", True):
        return True
    api_view = getattr(view, "cls", None) or getattr(view, "view_class", None)
    permissions: Sequence[Any] = getattr(view, "initkwargs", {}).get(
        "permission_classes", getattr(api_view, "permission_classes", ())
    )
    return bool(permissions) and AllowAny not in permissions


@register(Tags.security)
def every_route_is_closed_or_declared_open(**_: Any) -> list[CheckMessage]:
    return [
        Error(
            f"The route {text!r} ({name or 'without a name'}) is open to strangers.",
            hint="Declare permission classes, or add its name to access.checks.OPEN_TO_STRANGERS.",
            id="access.E001",
        )
        for name, text, view in routes(get_resolver())
        if name not in OPEN_TO_STRANGERS and not is_closed(view)
    ]
