"""Enrolment: by join key the host proves that it has the key; then it accepts its owner's certificate."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import ssl
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization

from virshmanagerd import certificates, enrolment
from virshmanagerd.certificates import CertificateError
from virshmanagerd.enrolment import NONCE_BYTES, PROOF_BYTES, Context
from virshmanagerd.ownership import Enrolment, Owner
from virshmanagerd.web import Problem, Request, Response, json_response

if TYPE_CHECKING:
    from cryptography import x509

    from virshmanagerd.adoption import Adoption
    from virshmanagerd.daemon import Daemon
    from virshmanagerd.joinkey import JoinKey

OWNED = {"state": "owned"}


def join(daemon: Daemon, request: Request) -> Response:
    """``POST /v1/enrol/join {key_id, server_nonce}``: answer a proven server with the host's proof.

    Raises:
        Problem: ``too_many_attempts``, ``bad_request``, ``already_owned``, ``join_key_unknown``,
            ``join_key_expired``, ``server_not_proven``.
    """
    count_attempt(daemon, request)
    key_id, nonce = _read_join(request.json())
    key = _usable_key(daemon, key_id)
    server_id = daemon.proven_server(request.peer)
    if server_id is None:
        raise Problem("server_not_proven", 401, "The join key names the CA whose server may call this.")
    daemon_nonce = secrets.token_bytes(NONCE_BYTES)
    context = _context(daemon, key, server_id, nonce, daemon_nonce)
    proof = proof_of(daemon, key.key, context)
    if not daemon.begin_enrolment(request.peer, key):
        raise Problem("server_not_proven", 401, "The state of the host has changed: connect again.")
    return json_response({"daemon_nonce": base64_text(daemon_nonce), **proof})


def finish(daemon: Daemon, request: Request) -> Response:
    """``POST /v1/enrol/finish {certificate, ca}``: become owned by the server that proved itself.

    Who proved the adopt code adds ``proof``. To repeat it with the certificate in use changes nothing.

    Raises:
        Problem: ``too_many_attempts``, ``bad_request``, ``already_owned``, ``server_not_proven``,
            ``bad_proof``, ``bad_certificate``.
    """
    count_attempt(daemon, request)
    body = request.json()
    certificate_pem, ca_pem = text(body, "certificate"), text(body, "ca")
    owner = daemon.ownership.owner
    if owner:
        _confirm(owner, certificate_pem, ca_pem)
        return json_response(OWNED)
    running = daemon.enrolment_of(request.peer)
    try:
        if running:
            accepted = _accept(daemon, running, certificate_pem, ca_pem, body)
            if daemon.become_owned(request.peer, running, accepted):
                return json_response(OWNED)
    except (CertificateError, ssl.SSLError) as error:
        raise Problem("bad_certificate", 422, f"{error}.") from None
    raise Problem("server_not_proven", 401, "The enrolment took too long: prove again.")


def count_attempt(daemon: Daemon, request: Request) -> None:
    """Let a source try no more than it may.

    Raises:
        Problem: 429 ``too_many_attempts``.
    """
    wait = daemon.attempts.wait(request.peer.address)
    if wait:
        raise Problem("too_many_attempts", 429, f"Wait {wait} s.", {"Retry-After": str(wait)})


def text(body: dict[str, Any], name: str) -> str:
    """Return a text of the request.

    Raises:
        Problem: 400 ``bad_request``.
    """
    value = body.get(name)
    if not isinstance(value, str):
        raise Problem("bad_request", 400, f"{name} is missing, or is no text.")
    return value


def octets(body: dict[str, Any], name: str, length: int) -> bytes:
    """Return so many bytes, which the request has in base64.

    Raises:
        Problem: 400 ``bad_request``.
    """
    try:
        found = base64.b64decode(text(body, name), validate=True)
    except (binascii.Error, ValueError):
        raise Problem("bad_request", 400, f"{name} is not base64.") from None
    if len(found) != length:
        raise Problem("bad_request", 400, f"{name} does not have {length} bytes.")
    return found


def base64_text(data: bytes) -> str:
    """Return bytes as JSON can say them."""
    return base64.b64encode(data).decode()


def proof_of(daemon: Daemon, key: bytes, context: Context) -> dict[str, str]:
    """Return a request for a certificate, and the host's proof over it."""
    csr = certificates.signing_request(daemon.identity.key)
    proof = enrolment.host_proof(key, context, csr.public_bytes(serialization.Encoding.DER))
    return {"csr": csr.public_bytes(serialization.Encoding.PEM).decode(), "proof": base64_text(proof)}


def _read_join(body: dict[str, Any]) -> tuple[str, bytes]:
    return text(body, "key_id"), octets(body, "server_nonce", NONCE_BYTES)


def _usable_key(daemon: Daemon, key_id: str) -> JoinKey:
    if daemon.ownership.owner:
        raise Problem("already_owned", 409)
    key = daemon.join_key()
    if key is None or key.key_id != key_id:
        raise Problem("join_key_unknown", 404)
    if key.expired(certificates.now()):
        raise Problem("join_key_expired", 410, "Make a new join key, and put it on the host.")
    return key


def _context(daemon: Daemon, key: JoinKey, server_id: str, nonce: bytes, daemon_nonce: bytes) -> Context:
    return Context(
        method="join",
        server_id=server_id,
        daemon_id=daemon.identity.id,
        server_nonce=nonce,
        daemon_nonce=daemon_nonce,
        host_spki=daemon.identity.spki_sha256,
        ca_spki=enrolment.ca_spki(certificates.certificate_from_pem(key.ca)),
    )


def _accept(
    daemon: Daemon, running: Enrolment, certificate_pem: str, ca_pem: str, body: dict[str, Any]
) -> str:
    certificate, ca = (certificates.certificate_from_pem(pem) for pem in (certificate_pem, ca_pem))
    if running.adoption:
        _check_proof(running.adoption, certificate, ca, octets(body, "proof", PROOF_BYTES))
    proven = certificates.certificate_from_pem(running.ca)
    if certificates.fingerprint(ca) != certificates.fingerprint(proven):
        raise CertificateError("the CA is not the proven one")
    enrolment.check_host_certificate(certificate, [proven], daemon.identity, certificates.now())
    return certificates.certificate_to_pem(certificate)


def _check_proof(
    adoption: Adoption, certificate: x509.Certificate, ca: x509.Certificate, proof: bytes
) -> None:
    ders = [each.public_bytes(serialization.Encoding.DER) for each in (certificate, ca)]
    expected = enrolment.finish_proof(adoption.key, adoption.context, *ders)
    if not hmac.compare_digest(expected, proof):
        raise Problem("bad_proof", 401, "This is not from the server that proved the code.")


def _confirm(owner: Owner, certificate_pem: str, ca_pem: str) -> None:
    for stored, given in ((owner.certificate, certificate_pem), (owner.ca, ca_pem)):
        try:
            same = certificates.certificate_from_pem(stored) == certificates.certificate_from_pem(given)
        except CertificateError:
            same = False
        if not same:
            raise Problem("already_owned", 409, "The host has another certificate.")
