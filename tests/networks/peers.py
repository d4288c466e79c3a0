"""What a crawler may meet on the port it asks for, and on the way there."""

from __future__ import annotations

import http.server
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .namespace import Namespace

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 -- every address of a namespace that only a test reaches

_IGNORE_PING = """
table inet no_ping {
  chain input {
    type filter hook input priority 0
    icmp type echo-request drop
    icmpv6 type echo-request drop
    icmp type timestamp-request drop
  }
}
"""


def ignore_ping(namespace: Namespace) -> None:
    """A firewall that drops ping, as many hosts have; ports answer as before."""
    namespace.run("nft", "-f", "-", input=_IGNORE_PING)


@contextmanager
def tarpit(namespace: Namespace, port: int, *, address: str = EVERY_ADDRESS) -> Iterator[None]:
    """A port that accepts connections and never says a word.

    Nobody accepts: the kernel completes the handshakes up to the backlog, and that is the whole of a tarpit.
    """
    with listening(namespace, address, port):
        yield


@contextmanager
def foreign_https(
    namespace: Namespace,
    port: int,
    scratch: Path,
    *,
    body: bytes = b"<h1>It works!</h1>",
    address: str = EVERY_ADDRESS,
) -> Iterator[None]:
    """Somebody else's web server over TLS: every path answers 200 with `body`. `scratch` takes its key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_self_signed(scratch))
    server = http.server.ThreadingHTTPServer((address, port), _handler(body), bind_and_activate=False)
    server.daemon_threads = True
    server.socket.close()
    with listening(namespace, address, port) as listener:
        # Handshakes belong to the thread of a request, not to the one that accepts.
        server.socket = context.wrap_socket(listener, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join(timeout=5)


@contextmanager
def ssh_server(namespace: Namespace, port: int, scratch: Path) -> Iterator[None]:
    """A real OpenSSH server. `scratch` takes its host key."""
    key = scratch / "ssh_host_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, timeout=10)
    # `ip netns exec` gives a mount namespace of its own: sshd's run folder stays off the machine's /run.
    script = 'mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && exec /usr/sbin/sshd "$@"'
    options = ("-D", "-f", "/dev/null", "-h", str(key), "-p", str(port), "-o", "PidFile=none")
    process = namespace.start("sh", "-c", script, "sshd", *options, stderr=subprocess.DEVNULL)
    try:
        _wait_for_port(namespace, port)
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


@contextmanager
def listening(namespace: Namespace, address: str, port: int) -> Iterator[socket.socket]:
    """A listening socket of the namespace; who asks for it decides what becomes of connections."""
    with socket_in(namespace) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(1024)
        yield listener


def socket_in(namespace: Namespace) -> socket.socket:
    """A TCP socket of the namespace. It stays there, whichever thread uses it."""
    with namespace.entered():
        return socket.socket()


def _wait_for_port(namespace: Namespace, port: int, deadline: float = 10) -> None:
    end = time.monotonic() + deadline
    while True:
        with socket_in(namespace) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > end:
            raise TimeoutError(f"nothing listens on port {port} of {namespace}")
        time.sleep(0.02)


def _handler(body: bytes) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name in the base class
            """Tests read no access log."""

    return Handler


def _self_signed(scratch: Path) -> Path:
    """Key and certificate of a stranger, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "intranet.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = scratch / "stranger.pem"
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return pem
