"""What is no daemon on the daemon's port: a service of somebody else, and a host that hangs."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Sequence
from typing import cast

BANNER = b"220 somewhere.example ready\r\n"


def greet(listener: socket.socket) -> threading.Thread:
    """Say a line of text to each who connects, in a thread of the daemon kind, until the process ends."""
    thread = threading.Thread(target=_serve, args=(listener,), name="foreign", daemon=True)
    thread.start()
    return thread


def hang(listeners: Sequence[socket.socket]) -> threading.Thread:
    """Accept all who connect, and never answer, in a thread of the daemon kind until the process ends."""
    thread = threading.Thread(target=_hold, args=(listeners,), name="hung", daemon=True)
    thread.start()
    return thread


def _serve(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.settimeout(1)
            connection.sendall(BANNER)
            connection.recv(4096)


def _hold(listeners: Sequence[socket.socket]) -> None:
    """The kernel keeps what they send; who leaves is let go, so that descriptors do not run out."""
    listening = frozenset(listeners)
    with selectors.DefaultSelector() as selector:
        for listener in listeners:
            selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                ready = cast("socket.socket", key.fileobj)
                if ready in listening:
                    connection, _ = ready.accept()
                    selector.register(connection, selectors.EVENT_READ)
                elif not _still_there(ready):
                    selector.unregister(ready)
                    ready.close()


def _still_there(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(65536))
    except OSError:
        return False
