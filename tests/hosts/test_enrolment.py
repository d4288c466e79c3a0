"""Daemons that lie while they are enrolled: each lie has its word, and none is given a certificate."""

import base64
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import takewhile
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hosts.enrolment import Enrolment
from hosts.errors import EnrolmentError
from hosts.identify import Identity
from hosts.trust import ClientIdentity, keys
from hosts.trust.protocol import Context, from_base64, to_base64
from tests.signing import another_authority

from .peers import Peer, ok, problem, response, saying, self_signed, server_context

KEY_ID, SECRET_KEY = uuid4(), b"k" * 32
Step = Callable[[dict[str, Any]], bytes]


class Daemon:
    """A daemon that knows the join key, and whose answers a test may replace."""

    def __init__(self, folder: Path, client: ClientIdentity) -> None:
        self.folder = folder
        self.client = client
        self.key = keys.new_key()
        self.shown = self_signed(self.key)
        self.asked: list[str] = []
        self.steps: dict[str, Step] = {"join": self.join, "finish": self.finish}

    @property
    def identity(self) -> Identity:
        public = keys.spki(self.key.public_key())
        der = self.shown.public_bytes(Encoding.DER)
        return Identity(keys.daemon_id(public), sha256(public).hexdigest(), der, "unclaimed", (KEY_ID,))

    def csr(self, key: ec.EllipticCurvePrivateKey | None = None) -> x509.CertificateSigningRequest:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
        return (
            x509.CertificateSigningRequestBuilder().subject_name(name).sign(key or self.key, hashes.SHA256())
        )

    def join(
        self, body: dict[str, Any], *, csr: x509.CertificateSigningRequest | None = None, **context: Any
    ) -> bytes:
        assert body["key_id"] == str(KEY_ID)
        asked = csr or self.csr()
        told: dict[str, Any] = {
            "method": "join",
            "server_id": self.client.server_id,
            "daemon_id": self.identity.uuid,
            "server_nonce": from_base64(body["server_nonce"], 32),
            "daemon_nonce": b"d" * 32,
            "host_key": self.identity.public_key,
            "ca_key": self.client.authority.spki,
        }
        proof = Context(**(told | context)).host_proof(SECRET_KEY, asked.public_bytes(Encoding.DER))
        return ok(
            {
                "daemon_nonce": to_base64(b"d" * 32),
                "csr": asked.public_bytes(Encoding.PEM).decode(),
                "proof": to_base64(proof),
            }
        )

    def finish(self, body: dict[str, Any]) -> bytes:
        self.given = body
        return ok({"state": "owned"})

    def _talk(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            # Who was shown another key asks for nothing, and hangs up.
            head = b"".join(takewhile(lambda line: line != b"\r\n", stream))
            if not head:
                return
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            step = head.split(b" ")[1].decode().removeprefix("/v1/enrol/")
            self.asked.append(step)
            connection.sendall(self.steps[step](json.loads(stream.read(length))))

    @contextmanager
    def met(self, context: ssl.SSLContext | None = None) -> Iterator[Enrolment]:
        own = server_context(self.folder, self.key, self.shown, client_ca=self.client.authority.pem)
        with Peer(self._talk, context or own) as peer:
            yield Enrolment(peer.ip, peer.port, self.identity, self.client)


@pytest.fixture
def daemon(tmp_path: Path, client_identity: ClientIdentity) -> Daemon:
    return Daemon(tmp_path, client_identity)


def refusal(daemon: Daemon, context: ssl.SSLContext | None = None) -> str:
    with daemon.met(context) as enrolment, pytest.raises(EnrolmentError) as caught:
        carry_out(enrolment)
    return caught.value.problem


def carry_out(enrolment: Enrolment) -> x509.Certificate:
    enrolment.prove(KEY_ID, SECRET_KEY)
    return enrolment.finish()


@pytest.mark.parametrize(
    "context",
    [
        {"server_id": uuid4()},
        {"daemon_id": uuid4()},
        {"server_nonce": b"x" * 32},
        {"daemon_nonce": b"x" * 32},
        {"host_key": b"the key that the true host sees"},
        {"ca_key": b"another authority"},
    ],
)
def test_a_proof_of_another_meeting_is_suspect(daemon: Daemon, context: dict[str, Any]) -> None:
    daemon.steps["join"] = lambda body: daemon.join(body, **context)
    assert refusal(daemon) == "mitm_suspected"
    assert daemon.asked == ["join"]


def test_a_proof_with_another_secret_is_suspect(daemon: Daemon) -> None:
    with daemon.met() as enrolment, pytest.raises(EnrolmentError) as caught:
        enrolment.prove(KEY_ID, b"x" * 32)
    assert caught.value.problem == "mitm_suspected"


def test_a_request_for_another_key_is_refused(daemon: Daemon) -> None:
    daemon.steps["join"] = lambda body: daemon.join(body, csr=daemon.csr(keys.new_key()))
    assert refusal(daemon) == "bad_csr"
    assert daemon.asked == ["join"]


@pytest.mark.parametrize(
    ("true", "false"),
    [
        # The version of a request (RFC 2986, 4.1), its curve, and the kind of its key become what nobody has.
        (b"\x02\x01\x00\x30", b"\x02\x01\x4d\x30"),
        (bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d030159")),
        (bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06072a8648ce3d0259")),
    ],
)
def test_a_request_of_a_kind_that_does_not_exist(daemon: Daemon, true: bytes, false: bytes) -> None:
    der = daemon.csr().public_bytes(Encoding.DER)
    assert der.count(true) == 1
    pem = base64.encodebytes(der.replace(true, false)).decode()
    told = {
        "daemon_nonce": to_base64(b"d" * 32),
        "proof": to_base64(b"p" * 32),
        "csr": f"-----BEGIN CERTIFICATE REQUEST-----\n{pem}-----END CERTIFICATE REQUEST-----\n",
    }
    daemon.steps["join"] = lambda _: ok(told)
    assert refusal(daemon) == "bad_answer"


def test_another_key_than_was_identified_is_given_nothing(daemon: Daemon, tmp_path: Path) -> None:
    key = keys.new_key()
    context = server_context(tmp_path, key, self_signed(key))
    assert refusal(daemon, context) == "fingerprint_changed"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (problem(429, "too_many_attempts"), "too_many_attempts"),
        (problem(409, "already_owned"), "already_owned"),
        (problem(401, "server_not_proven"), "server_not_proven"),
        (problem(404, "join_key_unknown"), "join_key_unknown"),
        (problem(410, "join_key_expired"), "join_key_expired"),
        (problem(426, "api_too_old"), "api_too_old"),
        (problem(500, "internal_error"), "bad_answer"),
        (problem(418, "<script>"), "bad_answer"),
        (ok({}), "bad_answer"),
        (ok([]), "bad_answer"),
        (ok({"csr": "x", "daemon_nonce": "y", "proof": "z"}), "bad_answer"),
        (ok(b"[" * 10_000), "bad_answer"),
        (ok(b"x" * 20_000), "too_large"),
        (response(302, b"", {"Location": "/"}), "bad_answer"),
        (b"SSH-2.0\r\n\r\n", "not_virshmanager"),
        (b"", "server_not_proven"),
    ],
)
def test_answers_to_join(daemon: Daemon, answer: bytes, expected: str) -> None:
    daemon.steps["join"] = lambda _: answer
    assert refusal(daemon) == expected
    assert daemon.asked == ["join"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (problem(422, "bad_certificate"), "bad_certificate"),
        (problem(401, "server_not_proven"), "server_not_proven"),
        (ok({"state": "enrolling"}), "bad_answer"),
    ],
)
def test_answers_to_finish(daemon: Daemon, answer: bytes, expected: str) -> None:
    daemon.steps["finish"] = lambda _: answer
    assert refusal(daemon) == expected


def test_a_clock_that_is_wrong_is_blamed(daemon: Daemon) -> None:
    daemon.steps["finish"] = lambda _: response(
        422,
        {"type": "bad_certificate"},
        {"Content-Type": "application/problem+json", "Date": "Sun, 06 Nov 1994 08:49:37 GMT"},
    )
    assert refusal(daemon) == "clock_skew"


def test_a_peer_that_hangs_costs_one_deadline(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hosts.enrolment.DEADLINE", 0.3)
    with Peer(saying(b"")) as peer, pytest.raises(EnrolmentError) as caught:
        Enrolment(peer.ip, peer.port, daemon.identity, daemon.client).prove(KEY_ID, SECRET_KEY)
    assert caught.value.problem == "timed_out"


def test_a_daemon_that_demands_another_servers_certificate(daemon: Daemon, tmp_path: Path) -> None:
    other = another_authority(tmp_path / "other")
    context = server_context(tmp_path, daemon.key, daemon.shown, client_ca=other.pem)
    assert refusal(daemon, context) == "server_not_proven"


def test_names_and_use_are_the_servers_to_grant(daemon: Daemon) -> None:
    with daemon.met() as enrolment:
        certificate = carry_out(enrolment)
    assert daemon.asked == ["join", "finish"]
    assert certificate.public_key() == daemon.key.public_key()
    assert "root" not in certificate.subject.rfc4514_string()
    assert daemon.given["ca"] == daemon.client.authority.pem
    assert x509.load_pem_x509_certificate(daemon.given["certificate"].encode()) == certificate
