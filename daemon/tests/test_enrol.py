"""Enrolment over real TLS: who may begin, who may finish, and what it changes."""

from __future__ import annotations

import base64
import datetime as dt
import json
import ssl
from typing import Any
from unittest import mock

import pytest
from authority import HOUR, Authority
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from doors import WELL_KNOWN, Host, World, check_proof, enrol
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from virshmanagerd import certificates, ownership
from virshmanagerd.handlers.enrol import finish, join
from virshmanagerd.web import Peer, Problem, Request

JOIN = "/v1/enrol/join"
NONCE = base64.b64encode(b"n" * 32).decode()


def state(host: Host) -> str:
    return host.daemon.ownership.state


def test_a_stranger_cannot_join(world: World, authority: Authority) -> None:
    host = world.host(authority)
    with host.session() as session:
        answer = session.join(authority)
    assert (answer.status, answer.json["type"]) == (401, "server_not_proven")
    assert state(host) == "unclaimed"


def test_a_certificate_of_another_ca_is_refused_in_tls(
    world: World, authority: Authority, other_authority: Authority
) -> None:
    host = world.host(authority)
    with (
        pytest.raises(ssl.SSLError, match="alert decrypt error"),
        host.session(other_authority.server()) as session,
    ):
        session.join(authority)


@pytest.mark.parametrize(
    "wrong",
    [
        {"server_id": "", "usages": None},
        {"usages": []},
        {"usages": [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]},
    ],
)
def test_a_certificate_that_is_no_servers_proves_nothing(
    world: World, authority: Authority, wrong: dict[str, Any]
) -> None:
    pair = authority.server(**wrong)
    if wrong.get("server_id") == "":
        key = certificates.new_key()
        names: list[x509.GeneralName] = [x509.DNSName("server.example")]
        pair = type(pair)(authority.sign(key.public_key(), names, [ExtendedKeyUsageOID.CLIENT_AUTH]), key)
    host = world.host(authority)
    with host.session(pair) as session:
        assert session.join(authority).json["type"] == "server_not_proven"


def test_without_a_join_key_nothing_begins(world: World, authority: Authority) -> None:
    host = world.host()
    with host.session(authority.server()) as session:
        answer = session.join(authority)
    assert (answer.status, answer.json["type"]) == (404, "join_key_unknown")


def test_another_key_id_is_unknown(world: World, authority: Authority) -> None:
    host = world.host(authority)
    with host.session(authority.server()) as session:
        answer = session.join(authority, key_id="00000000-0000-4000-8000-000000000000")
    assert (answer.status, answer.json["type"]) == (404, "join_key_unknown")


def test_an_expired_key_is_gone(world: World, authority: Authority) -> None:
    config = world.config()
    authority.drop(config.join_file, expires_at="2020-01-01T00:00:00Z")
    host = world.host(config=config)
    assert host.get(WELL_KNOWN).json["enrol"] == []
    with host.session(authority.server()) as session:
        answer = session.join(authority)
    assert (answer.status, answer.json["type"]) == (410, "join_key_expired")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"key_id": 1, "server_nonce": ""}',
        b'{"key_id": "x"}',
        b'{"key_id": "x", "server_nonce": "*"}',
        b'{"key_id": "x", "server_nonce": "AAAA"}',
        b"[" * 60_000,
    ],
)
def test_a_malformed_join_is_refused(world: World, authority: Authority, body: bytes) -> None:
    with world.host(authority).session(authority.server()) as session:
        answer = session.request("POST", JOIN, body)
    assert (answer.status, answer.json["type"]) == (400, "bad_request")


def test_a_stranger_cannot_finish(world: World, authority: Authority) -> None:
    host = world.host(authority)
    certificate = authority.host(host.key)
    with host.session() as stranger, host.session(authority.server()) as prover:
        assert stranger.finish(certificate, authority.pem).status == 401
        prover.join(authority)
        assert stranger.finish(certificate, authority.pem).status == 401
    assert state(host) == "enrolling"


def test_another_certificate_of_the_same_server_cannot_finish(world: World, authority: Authority) -> None:
    host = world.host(authority)
    certificate = authority.host(host.key)
    with host.session(authority.server()) as prover, host.session(authority.server()) as other:
        prover.join(authority)
        answer = other.finish(certificate, authority.pem)
        assert (answer.status, answer.json["type"]) == (401, "server_not_proven")
        assert prover.finish(certificate, authority.pem).status == 200


def test_a_new_proof_replaces_the_running_one(world: World, authority: Authority) -> None:
    host = world.host(authority)
    certificate = authority.host(host.key)
    with host.session(authority.server()) as first, host.session(authority.server()) as second:
        first.join(authority)
        second.join(authority)
        assert first.finish(certificate, authority.pem).status == 401
        assert second.finish(certificate, authority.pem).status == 200


def test_a_replayed_join_gets_another_proof(world: World, authority: Authority) -> None:
    host = world.host(authority)
    with host.session(authority.server()) as session:
        first, second = session.join(authority).json, session.join(authority).json
    check_proof(host, authority, first)
    check_proof(host, authority, second)
    assert first["daemon_nonce"] != second["daemon_nonce"]
    assert first["proof"] != second["proof"]


def test_enrolling_ends_by_itself(
    world: World, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership, "ENROLLING_FOR", 0.0)
    host = world.host(authority)
    with host.session(authority.server()) as session:
        session.join(authority)
        assert session.finish(authority.host(host.key), authority.pem).status == 401
    assert host.get(WELL_KNOWN).json["state"] == "unclaimed"


def finish_with(host: Host, authority: Authority, certificate: x509.Certificate, ca: str) -> tuple[int, str]:
    with host.session(authority.server()) as session:
        session.join(authority)
        answer = session.finish(certificate, ca)
    assert state(host) == "enrolling"
    return answer.status, answer.json["detail"]


@pytest.mark.parametrize(
    ("period", "reason"),
    [
        ({"start": -2 * HOUR, "end": -HOUR}, "not valid now"),
        ({"start": HOUR, "end": 2 * HOUR}, "not valid now"),
    ],
)
def test_a_certificate_out_of_date_is_refused(
    world: World, authority: Authority, period: dict[str, dt.timedelta], reason: str
) -> None:
    host = world.host(authority)
    status, detail = finish_with(host, authority, authority.host(host.key, **period), authority.pem)
    assert status == 422
    assert reason in detail


def test_a_certificate_for_another_key_is_refused(world: World, authority: Authority) -> None:
    host = world.host(authority)
    other = authority.host(certificates.new_key().public_key())
    assert finish_with(host, authority, other, authority.pem) == (422, "the certificate is for another key.")


def test_a_certificate_that_tls_does_not_take_is_refused(world: World, authority: Authority) -> None:
    """Its signature is right, but its subject is no UTF-8: were it stored, the host could not start again."""
    host = world.host(authority)
    certificate = authority.host(host.key)
    whole, signed = certificate.public_bytes(Encoding.DER), certificate.tbs_certificate_bytes
    odd = signed.replace(b"leaf", b"\xffeaf")
    signature = authority.key.sign(odd, ec.ECDSA(hashes.SHA256()))
    head, algorithm = whole[4 : whole.index(signed)], whole[whole.index(signed) + len(signed) :][:12]
    body = head + odd + algorithm + bytes([3, len(signature) + 1, 0]) + signature
    der = b"\x30\x82" + len(body).to_bytes(2, "big") + body
    status, detail = finish_with(host, authority, x509.load_der_x509_certificate(der), authority.pem)
    assert status == 422
    assert not (host.daemon.config.state_dir / "owner.json").exists()
    assert "SSL" in detail


def test_another_ca_is_refused(world: World, authority: Authority, other_authority: Authority) -> None:
    host = world.host(authority)
    theirs = other_authority.host(host.key)
    assert finish_with(host, authority, theirs, other_authority.pem) == (
        422,
        "the CA is not the proven one.",
    )
    assert finish_with(host, authority, theirs, authority.pem) == (
        422,
        "the certificate is not signed by the proven CA.",
    )


def test_it_works(world: World, authority: Authority) -> None:
    host = world.host(authority)
    assert host.get(WELL_KNOWN).json == {
        "product": "virshmanager",
        "api": ["1"],
        "id": certificates.host_id(host.key),
        "state": "unclaimed",
        "enrol": [{"method": "join", "key_id": authority.key_id}],
    }
    certificate = enrol(host, authority)
    with host.connect(authority.server()) as sock:
        assert sock.getpeercert(binary_form=True) == certificate.public_bytes(Encoding.DER)
    assert host.get(WELL_KNOWN, authority.server()).json["enrol"] == []
    assert not host.daemon.config.join_file.exists()


def test_finish_is_idempotent_for_its_own_certificate_alone(world: World, authority: Authority) -> None:
    host = world.host(authority)
    certificate = enrol(host, authority)
    with host.session(authority.server()) as session:
        assert session.finish(certificate, authority.pem).status == 200
        answer = session.finish(authority.host(host.daemon.identity.key.public_key()), authority.pem)
        assert (answer.status, answer.json["type"]) == (409, "already_owned")
        answer = session.finish(certificate, "nonsense")
        assert (answer.status, answer.json["type"]) == (409, "already_owned")
        assert session.join(authority).json["type"] == "already_owned"


def test_attempts_are_limited_by_source(world: World, authority: Authority) -> None:
    host = world.host(authority)
    with host.session() as session, host.session(authority.server(), source="127.0.0.2") as elsewhere:
        answers = [session.request("POST", JOIN, b"{}") for _ in range(30)]
        refused = next(answer for answer in answers if answer.status == 429)
        assert refused.json["type"] == "too_many_attempts"
        assert 1 <= int(refused.headers["Retry-After"]) <= 3
        assert elsewhere.join(authority).status == 200


def test_a_full_disk_changes_nothing(world: World, authority: Authority) -> None:
    host = world.host(authority)
    with (
        mock.patch("virshmanagerd.ownership.files.write_private", side_effect=OSError(28, "No space left")),
        host.session(authority.server()) as session,
    ):
        session.join(authority)
        answer = session.finish(authority.host(host.key), authority.pem)
    assert (answer.status, answer.json["type"]) == (500, "internal_error")
    assert state(host) == "enrolling"
    assert host.daemon.config.join_file.exists()
    enrol(host, authority)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    body=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: json.dumps(text).encode()))
)
def test_any_body_is_refused_in_words(world: World, body: bytes) -> None:
    if not world.hosts:
        world.host()
    daemon = world.hosts[0].daemon
    with mock.patch.object(daemon.attempts, "wait", return_value=0):
        for handler in (join, finish):
            with pytest.raises(Problem) as refusal:
                handler(daemon, Request("POST", "/", {}, {}, body, Peer("192.0.2.1")))
            assert refusal.value.status == 400


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    body=st.fixed_dictionaries(
        {}, optional={"key_id": json_values, "server_nonce": json_values | st.just(NONCE), "ca": json_values}
    )
)
def test_any_object_is_refused_in_words(world: World, authority: Authority, body: dict[str, Any]) -> None:
    if not world.hosts:
        world.host(authority)
    daemon = world.hosts[0].daemon
    with mock.patch.object(daemon.attempts, "wait", return_value=0), pytest.raises(Problem) as refusal:
        join(daemon, Request("POST", "/", {}, {}, json.dumps(body).encode(), Peer("192.0.2.1")))
    assert refusal.value.status in {400, 404}
