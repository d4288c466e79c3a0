"""Secrets on a disk, sealed by a text that is kept elsewhere: scrypt (RFC 7914) and AES-256-GCM.

The parameters are fixed and part of the version, never taken from the file. Each sealing has a salt, and so a
key, of its own.
"""

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

HEADER: Final = b"virshmanager sealed 1\n"
SALT_BYTES: Final = 16
NONCE_BYTES: Final = 12
# What OWASP asks for: 128 MiB for a third of a second.
SCRYPT_N: Final = 2**17


def is_sealed(data: bytes) -> bool:
    return data.startswith(HEADER)


def seal(plain: bytes, secret: str, *, purpose: bytes) -> bytes:
    """Seal `plain` for whoever knows `secret`. What is sealed for one purpose does not open for another."""
    salt, nonce = os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES)
    return HEADER + salt + nonce + _cipher(secret, salt).encrypt(nonce, plain, HEADER + purpose)


def unseal(data: bytes, secret: str, *, purpose: bytes) -> bytes:
    """Open what `seal` made.

    Raises:
        ValueError: when the secret is another one, or one bit of the data is.
    """
    salt_end = len(HEADER) + SALT_BYTES
    nonce_end = salt_end + NONCE_BYTES
    if not is_sealed(data) or len(data) < nonce_end:
        raise ValueError("not sealed")
    cipher = _cipher(secret, data[len(HEADER) : salt_end])
    try:
        return cipher.decrypt(data[salt_end:nonce_end], data[nonce_end:], HEADER + purpose)
    except InvalidTag:
        raise ValueError("another secret, or damaged") from None


def _cipher(secret: str, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=SCRYPT_N, r=8, p=1).derive(secret.encode()))
