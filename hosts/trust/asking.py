"""Asking the signer, which alone holds the key of the authority: one packet there, one back."""

import json
import socket
from pathlib import Path
from typing import Final

from cryptography import x509

from ..errors import RetryLater, sentence

TIMEOUT: Final = 5.0
MAX_ANSWER: Final = 16384


class SigningError(RetryLater):
    """A certificate could not be had of the signer: none for a host, or none to show to it."""

    def __init__(self, problem: str, **values: object) -> None:
        self.problem = problem
        super().__init__(sentence(problem, **values))


def ask(signer: Path, want: str, **more: str) -> x509.Certificate:
    """Return the certificate that was asked for (see `signer.desk` for what may be).

    Raises:
        SigningError: `signer_down` when nobody answers, `not_signed` when the signer refused.
    """
    try:
        answer = json.loads(exchange(signer, json.dumps({"want": want, **more}).encode()))
        if "refused" in answer:
            raise SigningError("not_signed", detail=answer["refused"])
        return x509.load_pem_x509_certificate(answer["certificate"].encode())
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise SigningError("signer_down") from error


def answers(signer: Path) -> bool:
    """Whether the signer is there, and answers this process."""
    try:
        return b"certificate" in exchange(signer, b'{"want": "authority"}')
    except OSError:
        return False


def exchange(signer: Path, request: bytes) -> bytes:
    """Send one packet and return the answer. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as wire:
        wire.settimeout(TIMEOUT)
        wire.connect(str(signer))
        wire.send(request)
        return wire.recv(MAX_ANSWER)
