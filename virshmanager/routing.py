"""Every WebSocket of the server. The origin and the session are checked before, in `asgi`."""

from typing import Any

from django.urls import path, re_path

from domains.consumers import console
from hosts.consumers import LiveConsumer, NowhereConsumer

# The types of Django's routes know views alone; Channels routes applications by the same means.
live: Any = LiveConsumer.as_asgi()
nowhere: Any = NowhereConsumer.as_asgi()
of_domain: Any = console

websocket_urlpatterns: list[Any] = [
    path("ws/live/", live),
    path("ws/console/", of_domain),
    re_path(r"", nowhere),
]
