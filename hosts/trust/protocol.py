"""The proofs of the enrolment by join key. Pure: bytes in, bytes out.

Both ends derive one key from the secret of the join key, and prove it over everything that names this one
meeting: both identities, both nonces, the public key seen in the handshake and the authority. So neither a
man in the middle nor a replay nor a reflection passes.
"""

import base64
import hmac
import struct
import uuid
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VERSION: Final = b"virshmanager-enrol-1"
NONCE_BYTES: Final = 32
SECRET_BYTES: Final = 32
PROOF_BYTES: Final = 32


def derive_key(secret: bytes) -> bytes:
    """Return what is kept of a join key's secret: HKDF-SHA256 (RFC 5869), 32 bytes."""
    return HKDF(hashes.SHA256(), length=32, salt=None, info=b"virshmanager join 1").derive(secret)


def fields(*values: bytes) -> bytes:
    """Join values so that no two lists give the same bytes: each after its length, 4 bytes big-endian."""
    return b"".join(struct.pack(">I", len(value)) + value for value in values)


@dataclass(frozen=True)
class JoinContext:
    """All that one enrolment is bound to. Keys are SubjectPublicKeyInfo in DER, as seen and not as told."""

    server_id: uuid.UUID
    daemon_id: uuid.UUID
    server_nonce: bytes
    daemon_nonce: bytes
    host_key: bytes
    ca_key: bytes

    def encoded(self) -> bytes:
        return fields(
            VERSION,
            b"join",
            str(self.server_id).encode(),
            str(self.daemon_id).encode(),
            self.server_nonce,
            self.daemon_nonce,
            sha256(self.host_key).digest(),
            sha256(self.ca_key).digest(),
        )

    def host_proof(self, key: bytes, csr: bytes) -> bytes:
        """What a host that knows the secret answers. `key` is of `derive_key`, `csr` in DER."""
        return hmac.digest(key, fields(b"host") + self.encoded() + fields(sha256(csr).digest()), "sha256")

    def proves_host(self, key: bytes, csr: bytes, proof: bytes) -> bool:
        return hmac.compare_digest(self.host_proof(key, csr), proof)


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def from_base64(text: object, length: int) -> bytes:
    """Read `length` bytes of padded base64 (RFC 4648, 4).

    Raises:
        ValueError: when it is something else.
    """
    if not isinstance(text, str):
        raise ValueError("no base64 text")
    data = base64.b64decode(text.encode("ascii"), validate=True)
    if len(data) != length:
        raise ValueError(f"not {length} bytes")
    return data
