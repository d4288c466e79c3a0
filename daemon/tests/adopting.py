"""A server that adopts by code, for tests: each step by itself, with anything in it replaced at will."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any

from authority import Authority
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from doors import NONCE, Answer, Host

from virshmanagerd import adoptcode, certificates, enrolment
from virshmanagerd.enrolment import Context

START, PROVE, FINISH = "/v1/enrol/code/start", "/v1/enrol/code/prove", "/v1/enrol/finish"


def new_code(host: Host) -> str:
    """What ``virshmanagerd code`` makes."""
    daemon = host.daemon
    return adoptcode.make(daemon.config.state_dir, daemon.identity.key, certificates.now())


def text(data: bytes) -> str:
    """Bytes as JSON says them."""
    return base64.b64encode(data).decode()


@dataclass
class Adopter:
    """One server with a code. ``source`` is the address it calls from."""

    host: Host
    authority: Authority
    code: str
    source: str | None = None
    key: bytes = field(init=False)
    context: Context = field(init=False)

    def post(self, path: str, body: dict[str, Any]) -> Answer:
        """One call on a connection of its own, without a certificate."""
        with self.host.session(source=self.source) as session:
            return session.request("POST", path, json.dumps(body).encode())

    def start(self) -> Answer:
        """Begin, and compute what the proofs are bound to."""
        answer = self.post(START, {"server_nonce": text(NONCE)})
        if answer.status == 200:
            self.key = enrolment.adopt_key(self.code, base64.b64decode(answer.json["salt"]))
            self.context = Context(
                method="code",
                server_id=self.authority.server_id,
                daemon_id=certificates.host_id(self.host.key),
                server_nonce=NONCE,
                daemon_nonce=base64.b64decode(answer.json["daemon_nonce"]),
                host_spki=hashlib.sha256(certificates.spki(self.host.key)).digest(),
                ca_spki=enrolment.ca_spki(self.authority.certificate),
            )
        return answer

    def prove(self, proof: bytes | None = None, **context: Any) -> Answer:
        """Prove the code; ``context`` replaces parts of what the proof is bound to."""
        bound = replace(self.context, **context)
        return self.post(
            PROVE,
            {
                "ca": self.authority.pem,
                "server_id": self.authority.server_id,
                "proof": text(proof or enrolment.server_proof(self.key, bound)),
            },
        )

    def proves_host(self, answer: Answer) -> bool:
        """Say whether the host's proof is right."""
        csr = x509.load_pem_x509_csr(answer.json["csr"].encode())
        der = csr.public_bytes(serialization.Encoding.DER)
        expected = enrolment.host_proof(self.key, self.context, der)
        return csr.public_key() == self.host.key and base64.b64decode(answer.json["proof"]) == expected

    def finish(
        self, certificate: x509.Certificate, ca: x509.Certificate | None = None, proof: bytes | None = None
    ) -> Answer:
        """Hand the certificate over."""
        ca = ca or self.authority.certificate
        proof = proof or finish_proof(self, certificate, ca)
        return self.post(FINISH, finish_body(certificate, ca, proof))

    def adopt(self) -> x509.Certificate:
        """All steps, each of which must go well."""
        certificate = self.authority.host(self.host.key)
        assert self.start().status == 200
        assert self.proves_host(self.prove())
        answer = self.finish(certificate)
        assert (answer.status, answer.json) == (200, {"state": "owned"})
        return certificate


def finish_proof(adopter: Adopter, certificate: x509.Certificate, ca: x509.Certificate) -> bytes:
    """The proof of the last step."""
    ders = [each.public_bytes(serialization.Encoding.DER) for each in (certificate, ca)]
    return enrolment.finish_proof(adopter.key, adopter.context, *ders)


def finish_body(certificate: x509.Certificate, ca: x509.Certificate, proof: bytes) -> dict[str, str]:
    """The body of the last step."""
    pem = certificates.certificate_to_pem
    return {"certificate": pem(certificate), "ca": pem(ca), "proof": text(proof)}
