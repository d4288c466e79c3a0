"""The proofs of an enrolment, by join key or by adopt code. Pure: bytes in, bytes out.

Both ends derive one key from the secret, and prove it over everything that names this one
meeting: both identities, both nonces, the public key seen in the handshake and the authority. So neither a
man in the middle nor a replay nor a reflection passes.
"""

import base64
import hashlib
import hmac
import struct
import uuid
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VERSION: Final = b"virshmanager-enrol-1"
NONCE_BYTES: Final = 32
SECRET_BYTES: Final = 32
PROOF_BYTES: Final = 32
SALT_BYTES: Final = 16

CODE_ALPHABET: Final = frozenset("0123456789ABCDEFGHJKMNPQRSTVWXYZ")  # Crockford's base32
CODE_LENGTH: Final = 10
# What a person may take for another character, and what he may put between them.
CODE_READ_AS: Final = str.maketrans("OIL", "011", "-")


def derive_key(secret: bytes) -> bytes:
    """Return what is kept of a join key's secret: HKDF-SHA256 (RFC 5869), 32 bytes."""
    return HKDF(hashes.SHA256(), length=32, salt=None, info=b"virshmanager join 1").derive(secret)


def read_code(typed: str) -> str:
    """Return an adopt code as the host made it, whatever way a person typed it.

    Raises:
        ValueError: when it cannot be one. The text does not repeat it.
    """
    code = "".join(typed.split()).upper().translate(CODE_READ_AS)
    if len(code) != CODE_LENGTH or not CODE_ALPHABET.issuperset(code):
        raise ValueError("no adopt code")
    return code


def adopt_key(code: str, salt: bytes) -> bytes:
    """Derive the key of the proofs from an adopt code (scrypt, RFC 7914): 0.1 s and 32 MiB, 32 bytes.

    Its parameters are fixed, and never taken from the peer. Python must be allowed more than its 32 MiB.
    """
    return hashlib.scrypt(code.encode(), salt=salt, n=2**15, r=8, p=1, maxmem=64 * 2**20, dklen=32)


def fields(*values: bytes) -> bytes:
    """Join values so that no two lists give the same bytes: each after its length, 4 bytes big-endian."""
    return b"".join(struct.pack(">I", len(value)) + value for value in values)


@dataclass(frozen=True)
class Context:
    """All that one enrolment is bound to. Keys are SubjectPublicKeyInfo in DER, as seen and not as told."""

    method: Literal["join", "code"]
    server_id: uuid.UUID
    daemon_id: uuid.UUID
    server_nonce: bytes
    daemon_nonce: bytes
    host_key: bytes
    ca_key: bytes

    def encoded(self) -> bytes:
        return fields(
            VERSION,
            self.method.encode(),
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

    def server_proof(self, key: bytes) -> bytes:
        """What a server that was told the adopt code says first. `key` is of `adopt_key`."""
        return hmac.digest(key, fields(b"server") + self.encoded(), "sha256")

    def finish_proof(self, key: bytes, certificate: bytes, ca: bytes) -> bytes:
        """What it says with the certificate that it hands over; both certificates in DER."""
        digests = fields(sha256(certificate).digest(), sha256(ca).digest())
        return hmac.digest(key, fields(b"finish") + self.encoded() + digests, "sha256")

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
