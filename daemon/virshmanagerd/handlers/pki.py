"""Renewal: the owner gives the host another certificate for its key, and other authorities to believe."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization

from virshmanagerd import certificates, enrolment
from virshmanagerd.certificates import CertificateError
from virshmanagerd.handlers.enrol import text
from virshmanagerd.web import Problem, Request, Response, json_response, state_has_changed

if TYPE_CHECKING:
    from virshmanagerd.daemon import Daemon
    from virshmanagerd.ownership import Owner

# An authority is followed by another one; that a third comes before the first has left is rare.
MOST_AUTHORITIES = 4


def make_request(daemon: Daemon, _request: Request) -> Response:
    """``POST /v1/pki/csr``: the signing request for the host's key, always the same key."""
    csr = certificates.signing_request(daemon.identity.key)
    return json_response({"csr": csr.public_bytes(serialization.Encoding.PEM).decode()})


def put_certificate(daemon: Daemon, request: Request) -> Response:
    """``PUT /v1/pki/certificate {certificate}``: show this one from now on. Nothing that is open ends.

    Raises:
        Problem: ``bad_request``, ``bad_certificate``, ``not_owned``.
    """
    pem = text(request.json(), "certificate")
    owner = daemon.ownership.owner
    try:
        if owner and daemon.renew(request.peer, _accept(daemon, owner, pem)):
            return json_response({"renewed": True})
    except (CertificateError, ssl.SSLError) as error:
        raise Problem("bad_certificate", 422, f"{error}.") from None
    raise state_has_changed()


def _accept(daemon: Daemon, owner: Owner, pem: str) -> str:
    certificate = certificates.certificate_from_pem(pem)
    cas = certificates.authorities_from_pem(owner.ca)
    enrolment.check_host_certificate(certificate, cas, daemon.identity, certificates.now())
    return certificates.certificate_to_pem(certificate)


def put_authorities(daemon: Daemon, request: Request) -> Response:
    """``PUT /v1/pki/ca {ca: [PEM, ...]}``: believe the owner by these authorities, and by no others.

    What is open stays open, unless its certificate is of one that leaves. The present owner's own must be of
    one that stays, and so must the host's: nobody is locked out.

    Raises:
        Problem: ``bad_request``, ``bad_certificate``, ``not_owned``.
    """
    try:
        cas = [enrolment.usable_ca(pem) for pem in _authorities(request.json())]
        if daemon.change_authorities(request.peer, cas):
            return json_response({"changed": True})
    except (CertificateError, ssl.SSLError) as error:
        raise Problem("bad_certificate", 422, f"{error}.") from None
    raise state_has_changed()


def _authorities(body: dict[str, Any]) -> list[str]:
    found = body.get("ca")
    if (
        isinstance(found, list)
        and 1 <= len(found) <= MOST_AUTHORITIES
        and all(isinstance(pem, str) for pem in found)
    ):
        return found
    raise Problem("bad_request", 400, f"ca is no list of 1 to {MOST_AUTHORITIES} texts.")
