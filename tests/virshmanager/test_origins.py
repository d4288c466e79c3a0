"""A WebSocket carries the user's cookies whoever opens it: only a page of this very origin may."""

from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.test import override_settings

from virshmanager.origins import OwnOriginOnly
from virshmanager.routing import websocket_urlpatterns

HOST = "localhost:8000"
PROXIED = {"TLS_IN_FRONT": True, "VIRSHMANAGER_URL": "https://manager.example"}


async def inner(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})


async def opened(origins: list[str], hosts: list[str]) -> bool:
    headers = [(b"origin", origin.encode("latin-1")) for origin in origins]
    headers += [(b"host", host.encode()) for host in hosts]
    scope = {"type": "websocket", "headers": headers}
    socket: Any = ApplicationCommunicator(OwnOriginOnly(inner), scope)  # type: ignore[no-untyped-call]
    await socket.send_input({"type": "websocket.connect"})
    answer = await socket.receive_output()
    assert answer["type"] in {"websocket.accept", "websocket.close"}
    return bool(answer["type"] == "websocket.accept")


FOREIGN = [
    "",
    "null",
    "http://elsewhere.example",
    "http://localhost:8001",
    "http://localhost",
    "https://localhost:8000",
    "http://127.0.0.1:8000",
    "http://sub.localhost:8000",
    "http://localhost:8000.elsewhere.example",
    "http://localhost:8000@elsewhere.example",
    "http://elsewhere.example/http://localhost:8000",
    "http://localhost:8000/",
    "HTTP://LOCALHOST:8000\xff",
    "file://",
]


@pytest.mark.attack("Cross-site WebSocket")
@pytest.mark.parametrize("origin", FOREIGN)
async def test_a_page_of_another_origin_is_refused(origin: str) -> None:
    assert not await opened([origin], [HOST])


@pytest.mark.attack("Cross-site WebSocket")
async def test_no_origin_or_two_are_refused() -> None:
    own = f"http://{HOST}"
    assert not await opened([], [HOST])
    assert not await opened([own, own], [HOST])
    assert not await opened([own], [])
    assert not await opened([own], [HOST, HOST])


@pytest.mark.attack("Cross-site WebSocket")
@pytest.mark.parametrize("host", ["elsewhere.example", "elsewhere.example:8000", "192.0.2.1:8000"])
async def test_a_foreign_name_that_leads_here_is_refused(host: str) -> None:
    assert not await opened([f"http://{host}"], [host])


@pytest.mark.parametrize("host", [HOST, "127.0.0.1:8000", "[::1]:8000", "localhost:9000"])
async def test_a_page_of_ours_is_let_in(host: str) -> None:
    assert await opened([f"http://{host}"], [host])


@pytest.mark.attack("Cross-site WebSocket")
@override_settings(**PROXIED)
@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("https://manager.example", "manager.example", True),
        ("https://manager.example", "127.0.0.1:8000", True),  # the proxy may give us another
        ("http://manager.example", "manager.example", False),
        ("https://sub.manager.example", "manager.example", False),
        ("https://manager.example:8443", "manager.example:8443", False),
        ("http://localhost:8000", "localhost:8000", False),
    ],
)
async def test_behind_a_proxy_it_is_the_declared_one_alone(origin: str, host: str, allowed: bool) -> None:  # noqa: FBT001 -- a row of the table
    assert await opened([origin], [host]) is allowed


@pytest.mark.attack("Cross-site WebSocket")
@pytest.mark.parametrize("path", [str(route.pattern) or "nowhere/" for route in websocket_urlpatterns])
async def test_no_socket_of_the_server_is_past_that_check(path: str) -> None:
    """The application itself, as uvicorn calls it."""
    from virshmanager.asgi import application

    scope = {"type": "websocket", "path": f"/{path}", "query_string": b"", "subprotocols": []}
    for origin in (*FOREIGN[:-2], None):
        told = [] if origin is None else [(b"origin", origin.encode())]
        socket: Any = ApplicationCommunicator(  # type: ignore[no-untyped-call]
            application, {**scope, "headers": [(b"host", HOST.encode()), *told]}
        )
        await socket.send_input({"type": "websocket.connect"})
        assert (await socket.receive_output())["type"] == "websocket.close", origin
