"""What the signer is asked, and what it signs. Each request is a JSON object, and so is each answer.

    {"want": "authority"}                                   the certificate of the authority itself
    {"want": "host", "csr": PEM}                            one for a host, of this profile alone
    {"want": "server", "csr": PEM, "server_id": UUID}       one for this server, and for no other id
    {"want": "next"}                                        the certificate of the authority that follows
    {"want": "take_over", "fingerprint": SHA256}            the same: it signs from now on

It answers {"certificate": PEM} or {"refused": WORD}. Who asks chooses neither names nor usages nor dates.
"""

import json
import logging
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from .. import files
from .succession import Succession

FIELDS: Final = {
    "authority": {"want"},
    "host": {"want", "csr"},
    "server": {"want", "csr", "server_id"},
    "next": {"want"},
    "take_over": {"want", "fingerprint"},
}

logger = logging.getLogger(__name__)


class Refused(Exception):
    """The request is none of ours. The text is a word, and repeats nothing of the request."""


@dataclass(frozen=True)
class Peer:
    """The process that asks (SO_PEERCRED, unix(7))."""

    pid: int
    uid: int
    gid: int


class Desk:
    """Answers requests, and counts and logs each signature."""

    def __init__(self, succession: Succession, folder: Path) -> None:
        self._succession = succession
        self._server_id = folder / "server_id"
        self.signed = 0

    def answer(self, packet: bytes, peer: Peer) -> bytes:
        """Return the answer to one packet. It never raises for what the packet says."""
        try:
            certificate = self._handle(_read(packet), peer)
        except Refused as refusal:
            logger.warning("refused process %d of user %d: %s", peer.pid, peer.uid, refusal)
            return refused(str(refusal))
        return json.dumps({"certificate": certificate.public_bytes(Encoding.PEM).decode()}).encode()

    def _handle(self, request: dict[str, str], peer: Peer) -> x509.Certificate:
        want = request["want"]
        if want == "authority":
            return self._succession.present.certificate
        if want in {"next", "take_over"}:
            return self._follow(request, peer)
        issuer = self._succession.present
        try:
            csr = request["csr"].encode()  # half a character is no UTF-8
            signed = (
                issuer.sign_host(csr)
                if want == "host"
                else issuer.sign_server(csr, self._this_server(request["server_id"]))
            )
        except ValueError:
            raise Refused("bad_csr") from None
        self.signed += 1
        logger.info(
            "signature %d since the start: %s %s, serial %x, until %s; asked by process %d of user %d",
            *(self.signed, want, signed.subject.rfc4514_string(), signed.serial_number),
            *(signed.not_valid_after_utc.isoformat(), peer.pid, peer.uid),
        )
        return signed

    def _follow(self, request: dict[str, str], peer: Peer) -> x509.Certificate:
        if request["want"] == "next":
            return self._succession.prepare().certificate
        try:
            issuer = self._succession.take_over(request["fingerprint"])
        except LookupError:
            raise Refused("no_such_authority") from None
        logger.info(
            "the authority %s signs; asked by process %d of user %d", issuer.fingerprint, peer.pid, peer.uid
        )
        return issuer.certificate

    def _this_server(self, text: str) -> uuid.UUID:
        """The id that asked first is this server's: who holds another one's is no server of these hosts."""
        try:
            asked = uuid.UUID(text)
        except ValueError:
            raise Refused("bad_request") from None
        if files.make_once(self._server_id, lambda: str(asked).encode()) != str(asked).encode():
            raise Refused("other_server")
        return asked


def refused(word: str) -> bytes:
    return json.dumps({"refused": word}).encode()


def _read(packet: bytes) -> dict[str, str]:
    try:
        request = json.loads(packet)
    # What nests deeper than Python goes is no ValueError.
    except (ValueError, RecursionError):
        raise Refused("bad_request") from None
    if not isinstance(request, dict) or not all(isinstance(value, str) for value in request.values()):
        raise Refused("bad_request")
    if request.keys() != FIELDS.get(request.get("want", "")):
        raise Refused("bad_request")
    return request
