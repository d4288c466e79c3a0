"""A service of somebody else on the daemon's port: it closes each connection after a line of text."""

import contextlib
import socket
import threading

BANNER = b"220 somewhere.example ready\r\n"


def greet(listener: socket.socket) -> threading.Thread:
    """Answer on `listener` in a thread of the daemon kind, until the process ends."""
    thread = threading.Thread(target=_serve, args=(listener,), name="foreign", daemon=True)
    thread.start()
    return thread


def _serve(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.settimeout(1)
            connection.sendall(BANNER)
            connection.recv(4096)
