"""Renewal: the owner is asked for another certificate for the host's key, and gives it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization

from virshmanagerd import certificates, enrolment
from virshmanagerd.certificates import CertificateError
from virshmanagerd.handlers.enrol import text
from virshmanagerd.web import Problem, Request, Response, json_response

if TYPE_CHECKING:
    from virshmanagerd.daemon import Daemon
    from virshmanagerd.ownership import Owner


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
    raise Problem("not_owned", 403, "The state of the host has changed: connect again.")


def _accept(daemon: Daemon, owner: Owner, pem: str) -> str:
    certificate = certificates.certificate_from_pem(pem)
    ca = certificates.certificate_from_pem(owner.ca)
    enrolment.check_host_certificate(certificate, ca, daemon.identity, certificates.now())
    return certificates.certificate_to_pem(certificate)
