"""What every answer carries to the browser: a policy that runs our own files alone."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

STRICT = {
    "default-src": "'self'",
    "img-src": "'self' data:",  # Tabler draws its form controls with data: images
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
# The browsable API and its documentation, which others wrote, have style elements. None has inline scripts.
API_PAGES = STRICT | {"style-src": "'self' 'unsafe-inline'"}


def header(policy: dict[str, str]) -> str:
    return "; ".join(f"{directive} {sources}" for directive, sources in policy.items())


class ContentSecurityPolicyMiddleware:
    """Content Security Policy Level 3: nothing inline, nothing from elsewhere, no frame around us."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        policy = API_PAGES if request.path.startswith("/api/") else STRICT
        response.headers.setdefault("Content-Security-Policy", header(policy))
        return response
