"""A daemon that is adopted by code, with every step of its side of the exchange open to a lie."""

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.client import parse_headers
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hosts.enrolment import CodeEnrolment
from hosts.identify import Identity
from hosts.trust import ClientIdentity, keys
from hosts.trust.protocol import NONCE_BYTES, Context, adopt_key, from_base64, to_base64

from .peers import Peer, ok, problem, self_signed, server_context

CODE, SALT, NONCE = "VWXYZ98765", b"s" * 16, b"d" * 32
KEY = adopt_key(CODE, SALT)
STEPS = ["code/start", "code/prove", "finish"]
Step = Callable[[dict[str, Any]], bytes]


class CodeDaemon:
    """Speaks the exchange truly, until a test replaces one of its `steps`.

    `heard` are the bodies that it was sent, by step; `shown` whether a client certificate came with any.
    At a step of `impostors` another one answers, with a key of its own. At `hangs_at` nobody answers.
    """

    def __init__(self, folder: Path, client: ClientIdentity) -> None:
        self._folder = folder
        self._client = client
        self.key = keys.new_key()
        self.certificate = self_signed(self.key)
        self.heard: dict[str, dict[str, Any]] = {}
        self.shown = False
        self.hangs_at = ""
        self.impostors: set[str] = set()
        self.steps: dict[str, Step] = {
            "code/start": lambda _: self.start(),
            "code/prove": lambda _: self.prove(),
            "finish": lambda _: self.finish(),
        }

    @property
    def identity(self) -> Identity:
        public = keys.spki(self.key.public_key())
        der = self.certificate.public_bytes(Encoding.DER)
        return Identity(keys.daemon_id(public), sha256(public).hexdigest(), der, "unclaimed")

    def context(self, **lies: Any) -> Context:
        """What the proofs of this meeting are bound to, as the daemon sees it."""
        told: dict[str, Any] = {
            "method": "code",
            "server_id": self._client.server_id,
            "daemon_id": self.identity.uuid,
            "server_nonce": from_base64(self.heard["code/start"]["server_nonce"], NONCE_BYTES),
            "daemon_nonce": NONCE,
            "host_key": self.identity.public_key,
            "ca_key": self._client.authority.spki,
        }
        return Context(**(told | lies))

    def start(self, **lies: Any) -> bytes:
        return ok({"daemon_nonce": to_base64(NONCE), "salt": to_base64(SALT)} | lies)

    def prove(self, key: ec.EllipticCurvePrivateKey | None = None, **lies: Any) -> bytes:
        """Check the server's proof as a daemon does, and answer its own, over a request for `key`."""
        if self.heard["code/prove"]["proof"] != to_base64(self.context().server_proof(KEY)):
            return problem(401, "bad_proof")
        csr = self.csr(key)
        proof = self.context(**lies).host_proof(KEY, csr.public_bytes(Encoding.DER))
        return self.proof(csr, proof)

    def proof(self, csr: x509.CertificateSigningRequest, proof: bytes) -> bytes:
        return ok({"csr": csr.public_bytes(Encoding.PEM).decode(), "proof": to_base64(proof)})

    def csr(self, key: ec.EllipticCurvePrivateKey | None = None) -> x509.CertificateSigningRequest:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
        return (
            x509.CertificateSigningRequestBuilder().subject_name(name).sign(key or self.key, hashes.SHA256())
        )

    def finish(self) -> bytes:
        body = self.heard["finish"]
        ders = [
            x509.load_pem_x509_certificate(body[name].encode()).public_bytes(Encoding.DER)
            for name in ("certificate", "ca")
        ]
        if body["proof"] != to_base64(self.context().finish_proof(KEY, *ders)):
            return problem(401, "bad_proof")
        return ok({"state": "owned"})

    @contextmanager
    def met(self) -> Iterator[CodeEnrolment]:
        """The server's side of one exchange with it."""
        with Peer(self._accept) as peer:
            yield CodeEnrolment(peer.ip, peer.port, self.identity, self._client)

    def _accept(self, plain: socket.socket) -> None:
        key, certificate = self.key, self.certificate
        if STEPS[len(self.heard)] in self.impostors:
            key = keys.new_key()
            certificate = self_signed(key)
        context = server_context(self._folder, key, certificate, client_ca=self._client.authority.pem)
        context.verify_mode = ssl.CERT_OPTIONAL
        with context.wrap_socket(plain, server_side=True) as connection:
            self._talk(connection)

    def _talk(self, connection: ssl.SSLSocket) -> None:
        self.shown |= connection.getpeercert(binary_form=True) is not None
        with connection.makefile("rb") as stream:
            if not (line := stream.readline()):
                return  # the other side has seen enough
            length = int(parse_headers(stream)["content-length"])
            step = line.split(b" ")[1].decode().removeprefix("/v1/enrol/")
            self.heard[step] = json.loads(stream.read(length))
            answer = self.steps[step](self.heard[step])
            connection.sendall(answer[:-1] if step == self.hangs_at else answer)
            if step == self.hangs_at:
                stream.read()
