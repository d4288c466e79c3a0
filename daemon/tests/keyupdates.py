"""TLS 1.3 KeyUpdate records (RFC 8446, 4.6.3), made by hand: no library sends them in numbers."""

from __future__ import annotations

import socket
import ssl
import struct
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

HANDSHAKE, APPLICATION_DATA, KEY_UPDATE = 22, 23, 24
TAG_BYTES = 16


def records(secret: bytes, count: int, *, ask: bool, sent: int = 0) -> bytes:
    """Return ``count`` KeyUpdates of a client whose traffic secret (for SHA-384) is ``secret``.

    ``sent`` is how many records have gone out under it already.
    """
    made = []
    for number in [sent] + [0] * (count - 1):
        made.append(_record(secret, bytes([KEY_UPDATE, 0, 0, 1, ask, HANDSHAKE]), number))
        secret = _expand(secret, b"traffic upd", 48)
    return b"".join(made)


def data(secret: bytes, content: bytes) -> bytes:
    """Return the first record under ``secret``, with data in it."""
    return _record(secret, content + bytes([APPLICATION_DATA]), 0)


def _record(secret: bytes, content: bytes, number: int) -> bytes:
    header = bytes([APPLICATION_DATA, 3, 3]) + struct.pack(">H", len(content) + TAG_BYTES)
    key, iv = _expand(secret, b"key", 32), _expand(secret, b"iv", 12)
    nonce = (int.from_bytes(iv, "big") ^ number).to_bytes(12, "big")
    return header + AESGCM(key).encrypt(nonce, content, header)


def connect(plain: socket.socket, context: ssl.SSLContext, keylog: Path) -> tuple[socket.socket, bytes]:
    """Do the handshake; return the socket below TLS, and the client's traffic secret."""
    context.keylog_filename = str(keylog)
    encrypted = context.wrap_socket(plain)
    cipher = encrypted.cipher()
    assert cipher
    assert cipher[0] == "TLS_AES_256_GCM_SHA384"
    found = dict(line.split()[::2] for line in keylog.read_text().splitlines() if line[0] != "#")
    below = socket.socket(fileno=encrypted.detach())
    below.settimeout(10)
    return below, bytes.fromhex(found["CLIENT_TRAFFIC_SECRET_0"])


def _expand(secret: bytes, label: bytes, length: int) -> bytes:
    name = b"tls13 " + label
    info = struct.pack(">HB", length, len(name)) + name + b"\0"
    return HKDFExpand(hashes.SHA384(), length, info).derive(secret)
