"""Enrolment, the server's side: by join key or adopt code the daemon proves itself, then it is certified.

By join key both calls go over one TLS context, since a daemon takes its certificate only from the server
certificate that it proved itself to. By code the server shows none, and proves the code in each step instead.
Every failure is an EnrolmentError with the word that a person is shown.
"""

import asyncio
import http.client
import json
import secrets
import ssl
import uuid
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from . import strangers
from .errors import BadPayload, EnrolmentError
from .identify import Identity
from .strangers import Answer, CertificateDemanded, StrangerError
from .trust import ClientIdentity, keys
from .trust.client import stranger_context
from .trust.keys import SigningRequest
from .trust.protocol import NONCE_BYTES, PROOF_BYTES, SALT_BYTES, Context, adopt_key, from_base64, to_base64
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
        "code_expired",
        "join_key_expired",
        "join_key_unknown",
        "server_not_proven",
    }
)
# How long who refuses more attempts is left alone, when it does not say it or says more than anybody would.
UNTOLD_WAIT: Final = 60
LONGEST_WAIT: Final = 3600
# These are also what a wrong clock looks like.
CLOCK_PROBLEMS: Final = frozenset({"bad_certificate", "join_key_expired", "server_not_proven"})


class Enrolment:
    """One attempt to enrol the daemon of `identity` where it answered: `prove`, then `finish`."""

    def __init__(self, ip: str, port: int, identity: Identity, client: ClientIdentity) -> None:
        self._ip = ip
        self._port = port
        self._identity = identity
        self._client = client
        self._context = self._tls()
        self._public_key = keys.certificate_key(identity.certificate_der)

    def _tls(self) -> ssl.SSLContext:
        return self._client.introducing_context()

    def prove(self, key_id: uuid.UUID, derived_key: bytes) -> None:
        """Let the daemon prove that it holds the join key.

        Raises:
            EnrolmentError: `mitm_suspected` when the proof does not fit the key of the handshake.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        answer = self._post("join", {"key_id": str(key_id), "server_nonce": to_base64(nonce)})
        context = self._bind("join", nonce, _octets(answer, "daemon_nonce", NONCE_BYTES))
        self._check_host(derived_key, context, answer)

    def _bind(self, method: Literal["join", "code"], server_nonce: bytes, daemon_nonce: bytes) -> Context:
        return Context(
            method=method,
            server_id=self._client.server_id,
            daemon_id=self._identity.uuid,
            server_nonce=server_nonce,
            daemon_nonce=daemon_nonce,
            host_key=self._identity.public_key,
            ca_key=self._client.authority.spki,
        )

    def _check_host(self, key: bytes, context: Context, answer: dict[str, object]) -> None:
        request, proof = _read_proof(answer)
        if not context.proves_host(key, request.der, proof):
            raise EnrolmentError("mitm_suspected")
        if request.key != self._public_key:
            raise EnrolmentError("bad_csr")
        self._request = request

    def finish(self) -> x509.Certificate:
        """Have the daemon's certificate signed and hand it over. Only after `prove`.

        Raises:
            SigningError: when there is none to hand over; the daemon may be enrolled again.
        """
        authority = self._client.authority
        certificate = authority.sign_host(self._request.pem)
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        answer = self._post("finish", {"certificate": pem, "ca": authority.pem} | self._proof_of(certificate))
        if answer.get("state") != "owned":
            raise EnrolmentError("bad_answer", detail="it was enrolled, and is not owned")
        return certificate

    def _proof_of(self, certificate: x509.Certificate) -> dict[str, str]:  # noqa: ARG002 -- of a code
        """What the last step adds: by join key nothing, since the server's certificate proves enough."""
        return {}

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
        return _read(answer)

    def _admit(self, certificate: bytes) -> None:
        """Tell nothing to who shows another key than the one that was identified."""
        try:
            same = keys.certificate_key(certificate) == self._public_key
        except ValueError:
            same = False
        if not same:
            raise EnrolmentError("fingerprint_changed")

    async def _call(self, request: bytes) -> Answer:
        async with asyncio.timeout(DEADLINE):
            return await strangers.call(
                self._ip, self._port, self._context, request, limit=MAX_ANSWER, admit=self._admit
            )


class CodeEnrolment(Enrolment):
    """One attempt by an adopt code. The server shows no certificate: it proves the code, twice."""

    def _tls(self) -> ssl.SSLContext:
        return stranger_context()

    def prove_code(self, code: str) -> None:
        """Prove to the daemon that we were told its code (of `read_code`), and let it prove the same.

        Raises:
            EnrolmentError: `bad_proof` for a wrong code; `mitm_suspected` when the daemon did not know it.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        answer = self._post("code/start", {"server_nonce": to_base64(nonce)})
        self._bound = self._bind("code", nonce, _octets(answer, "daemon_nonce", NONCE_BYTES))
        self._key = adopt_key(code, _octets(answer, "salt", SALT_BYTES))
        body = {
            "ca": self._client.authority.pem,
            "server_id": str(self._client.server_id),
            "proof": to_base64(self._bound.server_proof(self._key)),
        }
        self._check_host(self._key, self._bound, self._post("code/prove", body))

    def _proof_of(self, certificate: x509.Certificate) -> dict[str, str]:
        ders = [
            each.public_bytes(serialization.Encoding.DER)
            for each in (certificate, self._client.authority.certificate)
        ]
        return {"proof": to_base64(self._bound.finish_proof(self._key, *ders))}


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
    if answer.status == http.client.NOT_FOUND and word == "not_found":
        # A daemon of ours, from before this way of enrolment.
        raise EnrolmentError("api_too_old")
    if word == "too_many_attempts":
        raise EnrolmentError(word, seconds=_wait(answer))
    if word in PROBLEMS:
        raise _failure(word, answer.clock_skew)
    raise EnrolmentError("bad_answer", detail=f"status {answer.status}, {word or 'no problem type'}")


def _wait(answer: Answer) -> int:
    """For how many seconds it refuses more attempts (`Retry-After`, RFC 9110, 10.2.3)."""
    told = answer.headers.get("retry-after", "")
    if not told.isascii() or not told.isdecimal() or len(told) > len(str(LONGEST_WAIT)):
        return UNTOLD_WAIT
    return min(int(told), LONGEST_WAIT)


def _octets(data: dict[str, object], name: str, length: int) -> bytes:
    try:
        return from_base64(data.get(name), length)
    except ValueError:
        raise EnrolmentError("bad_answer", detail=f"no {name}") from None


def _read_proof(data: dict[str, object]) -> tuple[SigningRequest, bytes]:
    proof = _octets(data, "proof", PROOF_BYTES)
    try:
        return keys.read_request(str(data.get("csr")).encode()), proof
    except ValueError:
        raise EnrolmentError("bad_answer", detail="no csr") from None
