"""The TLS context of one moment: which certificate is shown, and which clients are heard."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass


@dataclass(frozen=True)
class Terms:
    """On what terms connections are taken.

    ``key`` and ``certificate`` are the host's own (PEM). With ``client_ca`` (PEM) a client may show a
    certificate of that CA, and must when ``demanded``.
    """

    key: bytes
    certificate: str
    client_ca: str | None = None
    demanded: bool = False


def make_context(terms: Terms) -> ssl.SSLContext:
    """Build the context: TLS 1.3 alone, and no tickets, since a resumed session would outlive a change.

    Raises:
        ssl.SSLError: when key, certificate or CA cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    if terms.client_ca:
        context.load_verify_locations(cadata=terms.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED if terms.demanded else ssl.CERT_OPTIONAL
    _load_pair(context, terms.key + terms.certificate.encode())
    return context


def check_ca(pem: str) -> None:
    """Make sure that TLS will take a CA: OpenSSL reads more of it, and sooner, than others do.

    Raises:
        ssl.SSLError: when it cannot be used.
    """
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=pem)


def _load_pair(context: ssl.SSLContext, pem: bytes) -> None:
    # ssl takes a path only. A file in memory leaves no copy of the key on disk, and needs no room there.
    handle = os.memfd_create("pair", os.MFD_CLOEXEC)
    try:
        os.write(handle, pem)
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
