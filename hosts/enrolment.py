"""Enrolment by join key, the server's side: the daemon proves itself, then is given its certificate.

Both calls go over one TLS context, since a daemon takes its certificate only from the server certificate that
it proved itself to. Every failure is an EnrolmentError with the word that a person is shown.
"""

import asyncio
import http.client
import json
import secrets
import uuid
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from . import strangers
from .errors import BadPayload, EnrolmentError
from .identify import Identity
from .strangers import Answer, CertificateDemanded, StrangerError
from .trust import ClientIdentity, keys
from .trust.protocol import NONCE_BYTES, PROOF_BYTES, JoinContext, from_base64, to_base64
from .untrusted import a_text, an_object, parse_json

DEADLINE: Final = 10.0
MAX_ANSWER: Final = 16384
# Certificates are back-dated by an hour; a clock that differs less breaks nothing.
TOLERATED_SKEW: Final = 60

# What a daemon may say about an enrolment; any other word is a bad answer.
PROBLEMS: Final = frozenset(
    {
        "already_owned",
        "api_too_old",
        "bad_certificate",
        "bad_proof",
        "join_key_expired",
        "join_key_unknown",
        "server_not_proven",
        "too_many_attempts",
    }
)
# These are also what a wrong clock looks like.
CLOCK_PROBLEMS: Final = frozenset({"bad_certificate", "join_key_expired", "server_not_proven"})


class Enrolment:
    """One attempt to enrol the daemon of `identity` where it answered: `prove`, then `finish`."""

    def __init__(self, ip: str, port: int, identity: Identity, client: ClientIdentity) -> None:
        self._ip = ip
        self._port = port
        self._identity = identity
        self._client = client
        self._context = client.introducing_context()
        self._public_key = keys.certificate_key(identity.certificate_der)

    def prove(self, key_id: uuid.UUID, derived_key: bytes) -> None:
        """Let the daemon prove that it holds the join key.

        Raises:
            EnrolmentError: `mitm_suspected` when the proof does not fit the key of the handshake.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        answer = self._post("join", {"key_id": str(key_id), "server_nonce": to_base64(nonce)})
        daemon_nonce, csr, proof = _read_proof(answer)
        context = JoinContext(
            server_id=self._client.server_id,
            daemon_id=self._identity.uuid,
            server_nonce=nonce,
            daemon_nonce=daemon_nonce,
            host_key=self._identity.public_key,
            ca_key=self._client.authority.spki,
        )
        if not context.proves_host(derived_key, csr.public_bytes(serialization.Encoding.DER), proof):
            raise EnrolmentError("mitm_suspected")
        if csr.public_key() != self._public_key or not csr.is_signature_valid:
            raise EnrolmentError("bad_csr")

    def finish(self) -> x509.Certificate:
        """Sign the daemon's certificate and hand it over. Only after `prove`."""
        authority = self._client.authority
        certificate = authority.sign_host(self._public_key)
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        answer = self._post("finish", {"certificate": pem, "ca": authority.pem})
        if answer.get("state") != "owned":
            raise EnrolmentError("bad_answer", detail="it was enrolled, and is not owned")
        return certificate

    def _post(self, step: str, body: dict[str, str]) -> dict[str, object]:
        path = f"/v1/enrol/{step}"
        request = strangers.request("POST", path, self._ip, json.dumps(body).encode())
        try:
            answer = asyncio.run(self._call(request))
        except TimeoutError:
            raise EnrolmentError("timed_out") from None
        except StrangerError as error:
            raise EnrolmentError(error.reason) from None
        except CertificateDemanded:
            raise _failure("server_not_proven", self._identity.clock_skew) from None
        if not self._same_key(answer.certificate):
            raise EnrolmentError("fingerprint_changed")
        return _read(answer)

    def _same_key(self, certificate: bytes) -> bool:
        try:
            return keys.certificate_key(certificate) == self._public_key
        except ValueError:
            return False

    async def _call(self, request: bytes) -> Answer:
        async with asyncio.timeout(DEADLINE):
            return await strangers.call(self._ip, self._port, self._context, request, limit=MAX_ANSWER)


def _failure(problem: str, skew: int | None) -> EnrolmentError:
    if problem in CLOCK_PROBLEMS and skew is not None and abs(skew) > TOLERATED_SKEW:
        return EnrolmentError("clock_skew", seconds=abs(skew))
    return EnrolmentError(problem)


def _read(answer: Answer) -> dict[str, object]:
    try:
        data = an_object(parse_json(answer.body), "the answer")
        word = a_text(data, "type", 40)
    except BadPayload as error:
        raise EnrolmentError("bad_answer", detail=str(error)) from None
    if answer.status == http.client.OK:
        return data
    if word in PROBLEMS:
        raise _failure(word, answer.clock_skew)
    raise EnrolmentError("bad_answer", detail=f"status {answer.status}, {word or 'no problem type'}")


def _read_proof(data: dict[str, object]) -> tuple[bytes, x509.CertificateSigningRequest, bytes]:
    try:
        csr, _ = keys.request_key(str(data.get("csr")).encode())
        return (
            from_base64(data.get("daemon_nonce"), NONCE_BYTES),
            csr,
            from_base64(data.get("proof"), PROOF_BYTES),
        )
    except ValueError:
        raise EnrolmentError("bad_answer", detail="no proof") from None
