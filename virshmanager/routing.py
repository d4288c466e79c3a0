"""Every WebSocket of the server. The origin and the session are checked before, in `asgi`."""

from django.urls import path, re_path

from hosts.consumers import LiveConsumer, NowhereConsumer

websocket_urlpatterns = [
    path("ws/live/", LiveConsumer.as_asgi()),
    re_path(r"", NowhereConsumer.as_asgi()),
]
