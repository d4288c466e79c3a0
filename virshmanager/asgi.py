"""The web application: HTTP by Django, WebSockets by Channels for users of the same origin only."""

import gc
import os

import django
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.sessions import SessionMiddlewareStack

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "virshmanager.settings")
django.setup(set_prefix=False)

from .origins import OwnOriginOnly  # noqa: E402 -- as below
from .routing import websocket_urlpatterns  # noqa: E402 -- consumers need the apps to be loaded
from .threads import OnKeptThreads, WholeOnThread  # noqa: E402 -- as above

application = ProtocolTypeRouter(
    {
        "http": OnKeptThreads(WholeOnThread()),
        "websocket": OwnOriginOnly(SessionMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)

# What is loaded by now stays until the end. To look through it for garbage took 80 ms of one page in thirty.
gc.collect()
gc.freeze()
