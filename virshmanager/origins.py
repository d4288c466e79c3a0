"""Which page may open a WebSocket: one of this very origin. A cookie knows neither port nor scheme; we do."""

from collections.abc import Iterable
from typing import Any

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.http.request import split_domain_port, validate_host

Header = tuple[bytes, bytes]


def is_own(headers: Iterable[Header]) -> bool:
    """Whether its one `Origin` is that of its one `Host`, by a name of ours; or the declared one."""
    told = list(headers)
    origins = [value.decode("latin-1") for name, value in told if name == b"origin"]
    hosts = [value.decode("latin-1") for name, value in told if name == b"host"]
    if len(origins) != 1 or len(hosts) != 1:
        return False
    if settings.TLS_IN_FRONT:
        return origins == [settings.VIRSHMANAGER_URL]
    # A name of somebody else's that leads here would be of the same origin, too (DNS rebinding).
    return origins == [f"http://{hosts[0]}"] and validate_host(
        split_domain_port(hosts[0])[0], settings.ALLOWED_HOSTS
    )


class OwnOriginOnly:
    """Refuses the handshake of any other WebSocket with 403."""

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        allowed = is_own(scope["headers"])
        return await (self.application if allowed else WebsocketDenier())(scope, receive, send)
