"""Adoption by code: a server proves that it was told the code, and only then the host proves itself.

Until then a stranger learns nothing, not even whether there is a code. A wrong proof costs its source
attempts, and nobody else anything: the code stays good.
"""

from __future__ import annotations

import hmac
import secrets
import uuid
from typing import TYPE_CHECKING, Any

from virshmanagerd import certificates, enrolment
from virshmanagerd.adoption import Adoption
from virshmanagerd.certificates import CertificateError
from virshmanagerd.enrolment import NONCE_BYTES, PROOF_BYTES, Context
from virshmanagerd.handlers.enrol import base64_text, count_attempt, octets, proof_of, text
from virshmanagerd.web import Problem, Request, Response, json_response

if TYPE_CHECKING:
    from cryptography import x509

    from virshmanagerd.adoption import Start
    from virshmanagerd.daemon import Daemon


def start(daemon: Daemon, request: Request) -> Response:
    """``POST /v1/enrol/code/start {server_nonce}``: answer what the proof of the code must be made with.

    Raises:
        Problem: ``too_many_attempts``, ``bad_request``, ``already_owned``.
    """
    count_attempt(daemon, request)
    nonce = octets(request.json(), "server_nonce", NONCE_BYTES)
    _check_free(daemon)
    begun = daemon.starts.begin(request.peer.address, nonce, daemon.adopt_salt())
    return json_response({"daemon_nonce": base64_text(begun.daemon_nonce), "salt": base64_text(begun.salt)})


def prove(daemon: Daemon, request: Request) -> Response:
    """``POST /v1/enrol/code/prove {ca, server_id, proof}``: answer a proven server with the host's proof.

    It belongs to the newest ``start`` of its source, and uses that up.

    Raises:
        Problem: ``too_many_attempts``, ``bad_request``, ``already_owned``, ``bad_proof``, ``code_expired``.
    """
    count_attempt(daemon, request)
    ca, server_id, proof = _read(request.json())
    _check_free(daemon)
    begun = daemon.starts.take(request.peer.address)
    if begun is None:
        raise Problem("bad_request", 400, "Nothing was started from here in the last minute.")
    adoption = _proven(daemon, begun, _context(daemon, begun, server_id, ca), proof)
    if not daemon.begin_adoption(adoption, certificates.certificate_to_pem(ca)):
        raise Problem("bad_proof", 401, "The code was used or replaced.")
    return json_response(proof_of(daemon, adoption.key, adoption.context))


def _check_free(daemon: Daemon) -> None:
    if daemon.ownership.owner:
        raise Problem("already_owned", 409)


def _read(body: dict[str, Any]) -> tuple[x509.Certificate, str, bytes]:
    try:
        ca = enrolment.usable_ca(text(body, "ca"))
        server_id = str(uuid.UUID(text(body, "server_id")))
    except CertificateError as error:
        raise Problem("bad_request", 400, f"ca: {error}.") from None
    except ValueError:
        raise Problem("bad_request", 400, "server_id is no UUID.") from None
    return ca, server_id, octets(body, "proof", PROOF_BYTES)


def _context(daemon: Daemon, begun: Start, server_id: str, ca: x509.Certificate) -> Context:
    return Context(
        method="code",
        server_id=server_id,
        daemon_id=daemon.identity.id,
        server_nonce=begun.server_nonce,
        daemon_nonce=begun.daemon_nonce,
        host_spki=daemon.identity.spki_sha256,
        ca_spki=enrolment.ca_spki(ca),
    )


def _proven(daemon: Daemon, begun: Start, context: Context, proof: bytes) -> Adoption:
    code = daemon.adopt_code()
    key = code.keys.get(begun.salt) if code else None
    # Without a code the same work is done, and fails.
    expected = enrolment.server_proof(key or secrets.token_bytes(32), context)
    if not hmac.compare_digest(expected, proof) or code is None or key is None:
        raise Problem("bad_proof", 401, "The code is wrong, or someone sits between server and host.")
    if code.expired(certificates.now()):
        raise Problem("code_expired", 410, "Make a new code on the host.")
    return Adoption(code, key, context)
