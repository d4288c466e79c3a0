"""A daemon that is there, proves who it is, and then does not come to an end."""

from __future__ import annotations

import http.server
import json
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.networks import listening

from .hypervisor import DAEMON_PORT, Hypervisor

_PROMISED = 1000
_DRIP_SECONDS = 0.5


@contextmanager
def dripping(hypervisor: Hypervisor) -> Iterator[None]:
    """In place of the daemon of an owned host, which must be stopped: its key, and one byte each half second.

    Each answer promises 1,000 bytes: the head comes at once, the rest would take eight minutes.
    """
    ended = threading.Event()
    server = http.server.ThreadingHTTPServer(("", DAEMON_PORT), _handler(ended), bind_and_activate=False)
    server.daemon_threads = True
    server.socket.close()
    with listening(hypervisor.network, "0.0.0.0", DAEMON_PORT) as listener:  # noqa: S104 -- of a namespace
        server.socket = _context(hypervisor).wrap_socket(
            listener, server_side=True, do_handshake_on_connect=False
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            server.shutdown()
            server.server_close()
            thread.join(timeout=5)


def _context(hypervisor: Hypervisor) -> ssl.SSLContext:
    """TLS as the owned daemon speaks it."""
    state = hypervisor.daemon_state
    owner = json.loads((state / "owner.json").read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=owner["ca"])
    context.verify_mode = ssl.CERT_REQUIRED
    with tempfile.NamedTemporaryFile("w") as pair:
        pair.write((state / "host.key").read_text() + owner["certificate"])
        pair.flush()
        context.load_cert_chain(pair.name)
    return context


def _handler(ended: threading.Event) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(_PROMISED))
            self.end_headers()
            try:
                for _ in range(_PROMISED):
                    self.wfile.write(b" ")
                    if ended.wait(_DRIP_SECONDS):
                        return
            except OSError:
                return  # the caller has given up: that is what it should do

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name in the base class
            """Tests read no access log."""

    return Handler
