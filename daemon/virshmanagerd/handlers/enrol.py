"""Enrolment by join key: the host proves that it has the key, and accepts its owner's certificate."""

from __future__ import annotations

import base64
import binascii
import secrets
import ssl
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization

from virshmanagerd import certificates, enrolment
from virshmanagerd.certificates import CertificateError
from virshmanagerd.enrolment import NONCE_BYTES, Context
from virshmanagerd.ownership import Enrolment, Owner
from virshmanagerd.web import Problem, Request, Response, json_response

if TYPE_CHECKING:
    from virshmanagerd.daemon import Daemon
    from virshmanagerd.joinkey import JoinKey

OWNED = {"state": "owned"}


def join(daemon: Daemon, request: Request) -> Response:
    """``POST /v1/enrol/join {key_id, server_nonce}``: answer a proven server with the host's proof.

    Raises:
        Problem: ``too_many_attempts``, ``bad_request``, ``already_owned``, ``join_key_unknown``,
            ``join_key_expired``, ``server_not_proven``.
    """
    _count_attempt(daemon, request)
    key_id, nonce = _read_join(request.json())
    key = _usable_key(daemon, key_id)
    server_id = daemon.proven_server(request.peer)
    if server_id is None:
        raise Problem("server_not_proven", 401, "The join key names the CA whose server may call this.")
    daemon_nonce = secrets.token_bytes(NONCE_BYTES)
    context = _context(daemon, key, server_id, nonce, daemon_nonce)
    csr = certificates.signing_request(daemon.identity.key)
    proof = enrolment.host_proof(key.key, context, csr.public_bytes(serialization.Encoding.DER))
    if not daemon.begin_enrolment(request.peer, key):
        raise Problem("server_not_proven", 401, "The state of the host has changed: connect again.")
    return json_response(
        {
            "daemon_nonce": base64.b64encode(daemon_nonce).decode(),
            "csr": csr.public_bytes(serialization.Encoding.PEM).decode(),
            "proof": base64.b64encode(proof).decode(),
        }
    )


def finish(daemon: Daemon, request: Request) -> Response:
    """``POST /v1/enrol/finish {certificate, ca}``: become owned by the server that proved itself.

    Repeating it with the certificate that is in use changes nothing.

    Raises:
        Problem: ``too_many_attempts``, ``bad_request``, ``already_owned``, ``server_not_proven``,
            ``bad_certificate``.
    """
    _count_attempt(daemon, request)
    certificate_pem, ca_pem = _read_finish(request.json())
    owner = daemon.ownership.owner
    if owner:
        _confirm(owner, certificate_pem, ca_pem)
        return json_response(OWNED)
    running = daemon.enrolment_of(request.peer)
    try:
        if running and daemon.become_owned(
            request.peer, running, _accept(daemon, running, certificate_pem, ca_pem)
        ):
            return json_response(OWNED)
    except (CertificateError, ssl.SSLError) as error:
        raise Problem("bad_certificate", 422, f"{error}.") from None
    raise Problem("server_not_proven", 401, "The enrolment took too long: prove again.")


def _count_attempt(daemon: Daemon, request: Request) -> None:
    wait = daemon.attempts.wait(request.peer.address)
    if wait:
        raise Problem("too_many_attempts", 429, f"Wait {wait} s.", {"Retry-After": str(wait)})


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise Problem("bad_request", 400, f"{name} is missing, or is no text.")
    return value


def _read_join(body: dict[str, Any]) -> tuple[str, bytes]:
    key_id, text = _text(body, "key_id"), _text(body, "server_nonce")
    try:
        nonce = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Problem("bad_request", 400, "server_nonce is not base64.") from None
    if len(nonce) != NONCE_BYTES:
        raise Problem("bad_request", 400, f"server_nonce does not have {NONCE_BYTES} bytes.")
    return key_id, nonce


def _read_finish(body: dict[str, Any]) -> tuple[str, str]:
    return _text(body, "certificate"), _text(body, "ca")


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


def _accept(daemon: Daemon, running: Enrolment, certificate_pem: str, ca_pem: str) -> str:
    proven = certificates.certificate_from_pem(running.ca)
    ca = certificates.certificate_from_pem(ca_pem)
    if certificates.fingerprint(ca) != certificates.fingerprint(proven):
        raise CertificateError("the CA is not the proven one")
    certificate = certificates.certificate_from_pem(certificate_pem)
    enrolment.check_host_certificate(certificate, proven, daemon.identity, certificates.now())
    return certificates.certificate_to_pem(certificate)


def _confirm(owner: Owner, certificate_pem: str, ca_pem: str) -> None:
    for stored, given in ((owner.certificate, certificate_pem), (owner.ca, ca_pem)):
        try:
            same = certificates.certificate_from_pem(stored) == certificates.certificate_from_pem(given)
        except CertificateError:
            same = False
        if not same:
            raise Problem("already_owned", 409, "The host has another certificate.")
