"""Adoption by code over real TLS: what guessers, replayers, men in the middle and late-comers get."""

from __future__ import annotations

import datetime as dt
import json
import ssl
from typing import Any

import pytest
from adopting import FINISH, PROVE, START, Adopter, finish_body, finish_proof, new_code, text
from authority import Authority
from doors import NONCE, WELL_KNOWN, Host, World, enrol, until

from virshmanagerd import adoptcode, adoption, certificates, enrolment, ownership
from virshmanagerd.attempts import Attempts


@pytest.fixture
def host(world: World) -> Host:
    return world.host()


@pytest.fixture
def adopter(host: Host, authority: Authority) -> Adopter:
    """A server that was told the host's code."""
    return Adopter(host, authority, new_code(host))


def state(host: Host) -> str:
    return str(host.get(WELL_KNOWN).json["state"])


def told(answer: Any) -> tuple[int, str]:
    return answer.status, answer.json["type"]


BAD_PROOF = (401, "bad_proof")


def test_a_wrong_code_is_refused_and_burns_nothing(
    host: Host, adopter: Adopter, authority: Authority
) -> None:
    guesser = Adopter(host, authority, "0123456789")
    guesser.start()
    assert told(guesser.prove()) == BAD_PROOF
    assert state(host) == "unclaimed"
    adopter.adopt()


def test_a_stranger_cannot_tell_whether_there_is_a_code(host: Host, authority: Authority) -> None:
    guesser = Adopter(host, authority, "0123456789")

    def seen() -> tuple[Any, ...]:
        salt = guesser.start().json["salt"]
        refused = guesser.prove().json
        return salt, refused, host.get(WELL_KNOWN).json

    before = seen()
    new_code(host)
    assert seen() == before


def test_an_expired_code_is_named_to_who_knows_it(
    host: Host, adopter: Adopter, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    guesser = Adopter(host, authority, "0123456789")
    adopter.start()
    monkeypatch.setattr(adoptcode, "LIFE", dt.timedelta(0))
    assert told(adopter.prove()) == (410, "code_expired")
    guesser.start()
    assert told(guesser.prove()) == BAD_PROOF
    assert state(host) == "unclaimed"


def test_a_code_that_was_replaced_is_good_no_more(host: Host, adopter: Adopter) -> None:
    adopter.start()
    new_code(host)
    assert told(adopter.prove()) == BAD_PROOF


def test_a_new_code_ends_what_was_begun_with_the_old_one(host: Host, adopter: Adopter) -> None:
    adopter.start()
    assert adopter.prove().status == 200
    new_code(host)
    assert told(adopter.finish(adopter.authority.host(host.key))) == (401, "server_not_proven")


def test_a_used_code_is_good_no_more(host: Host, adopter: Adopter) -> None:
    adopter.adopt()
    config = host.daemon.config
    assert not (config.state_dir / adoptcode.FILE).exists()
    (config.state_dir / "owner.json").unlink()  # as a reset, that keeps the key
    host.daemon.poll()
    adopter.start()
    assert told(adopter.prove()) == BAD_PROOF


@pytest.mark.parametrize(
    "other",
    [
        {"method": "join"},
        {"server_id": "00000000-0000-4000-8000-000000000000"},
        {"daemon_id": "00000000-0000-8000-8000-000000000000"},
        {"server_nonce": b"x" * 32},
        {"daemon_nonce": b"x" * 32},
        {"host_spki": b"the key of a man in the middle.."},
        {"ca_spki": b"the authority of somebody else.."},
    ],
)
def test_a_proof_of_another_meeting_is_refused(host: Host, adopter: Adopter, other: dict[str, Any]) -> None:
    adopter.start()
    assert told(adopter.prove(**other)) == BAD_PROOF
    assert state(host) == "unclaimed"


def test_a_man_in_the_middle_with_a_ca_of_his_own_is_refused(
    adopter: Adopter, other_authority: Authority
) -> None:
    """He passes the server's proof on, and puts his authority into its place."""
    adopter.start()
    proof = enrolment.server_proof(adopter.key, adopter.context)
    body = {"ca": other_authority.pem, "server_id": adopter.authority.server_id, "proof": text(proof)}
    assert told(adopter.post(PROVE, body)) == BAD_PROOF


def test_a_proof_is_good_once(adopter: Adopter) -> None:
    adopter.start()
    proof = enrolment.server_proof(adopter.key, adopter.context)
    assert adopter.prove(proof).status == 200
    assert told(adopter.prove(proof)) == (400, "bad_request")
    adopter.start()
    assert told(adopter.prove(proof)) == BAD_PROOF


def test_the_hosts_own_proof_is_none_of_a_server(adopter: Adopter) -> None:
    adopter.start()
    assert told(adopter.prove(enrolment.host_proof(adopter.key, adopter.context, b""))) == BAD_PROOF


def test_without_a_start_nothing_is_proven(adopter: Adopter) -> None:
    adopter.start()
    adopter.source = "127.0.0.2"
    assert told(adopter.prove()) == (400, "bad_request")
    adopter.source = None
    assert adopter.prove().status == 200


def test_a_start_ends_by_itself(adopter: Adopter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adoption, "START_LASTS", 0.0)
    adopter.start()
    assert told(adopter.prove()) == (400, "bad_request")


def test_parameters_that_the_peer_offers_are_not_taken(adopter: Adopter) -> None:
    weak = {"n": 2, "r": 1, "p": 1, "salt": text(b"s" * 16), "server_nonce": text(NONCE)}
    assert set(adopter.post(START, weak).json) == {"daemon_nonce", "salt"}
    answer = adopter.start()
    assert answer.json["salt"] != weak["salt"]
    assert adopter.proves_host(adopter.prove())


def test_guesses_are_limited_for_each_source_and_for_nobody_else(
    host: Host, adopter: Adopter, authority: Authority
) -> None:
    host.daemon.attempts = Attempts(4, 3600, lambda: 0.0)
    guesser = Adopter(host, authority, "0123456789", source="127.0.0.2")
    for _ in range(2):
        guesser.start()
        assert told(guesser.prove()) == BAD_PROOF
    refused = guesser.start()
    assert told(refused) == (429, "too_many_attempts")
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    adopter.adopt()


def test_proving_and_finishing_count_as_attempts(host: Host, adopter: Adopter) -> None:
    adopter.start()
    host.daemon.attempts = Attempts(0, 3600, lambda: 0.0)
    assert told(adopter.prove()) == (429, "too_many_attempts")
    assert told(adopter.post(START, {})) == (429, "too_many_attempts")
    host.daemon.attempts = Attempts(1, 3600, lambda: 0.0)
    assert adopter.prove().status == 200
    assert told(adopter.finish(adopter.authority.host(host.key))) == (429, "too_many_attempts")


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        (START, {"server_nonce": None}),
        (START, {"server_nonce": "*"}),
        (START, {"server_nonce": "AAAA"}),
        (PROVE, {"ca": None}),
        (PROVE, {"ca": "-----BEGIN CERTIFICATE-----"}),
        (PROVE, {"server_id": "me"}),
        (PROVE, {"server_id": 7}),
        (PROVE, {"proof": "AAAA"}),
        (PROVE, {"proof": []}),
    ],
)
def test_a_malformed_request_is_refused(adopter: Adopter, path: str, changes: dict[str, Any]) -> None:
    adopter.start()
    body = {
        "server_nonce": text(NONCE),
        "ca": adopter.authority.pem,
        "server_id": adopter.authority.server_id,
        "proof": text(b"p" * 32),
    }
    assert told(adopter.post(path, body | changes)) == (400, "bad_request")


def test_an_owned_host_hears_no_stranger(host: Host, adopter: Adopter) -> None:
    adopter.start()
    Adopter(host, adopter.authority, adopter.code, source="127.0.0.2").adopt()
    with pytest.raises(ssl.SSLError, match="certificate required"):
        adopter.prove()


@pytest.mark.parametrize("path", [START, PROVE])
def test_an_owned_host_tells_its_owner_so(host: Host, adopter: Adopter, path: str) -> None:
    adopter.start()
    proof = enrolment.server_proof(adopter.key, adopter.context)
    Adopter(host, adopter.authority, adopter.code, source="127.0.0.2").adopt()
    body = {
        "server_nonce": text(NONCE),
        "ca": adopter.authority.pem,
        "server_id": adopter.authority.server_id,
        "proof": text(proof),
    }
    assert told(host.post(path, body, adopter.authority.server())) == (409, "already_owned")


def test_a_stranger_cannot_finish_what_another_proved(
    host: Host, adopter: Adopter, authority: Authority
) -> None:
    adopter.start()
    certificate = authority.host(host.key)
    body = finish_body(certificate, authority.certificate, b"p" * 32)
    assert told(adopter.post(FINISH, body)) == (401, "server_not_proven")
    assert adopter.prove().status == 200
    assert told(adopter.post(FINISH, body)) == BAD_PROOF
    assert told(adopter.post(FINISH, {**body, "proof": None})) == (400, "bad_request")
    assert state(host) == "enrolling"
    assert adopter.finish(certificate).status == 200


def test_what_finishes_is_the_very_certificate_that_was_proven(host: Host, adopter: Adopter) -> None:
    adopter.start()
    adopter.prove()
    ca = adopter.authority.certificate
    one, other = (adopter.authority.host(host.key) for _ in range(2))
    proof = finish_proof(adopter, one, ca)
    assert told(adopter.finish(other, ca, proof)) == BAD_PROOF
    assert state(host) == "enrolling"


@pytest.mark.parametrize("role", ["server", "host"])
def test_no_other_proof_finishes(host: Host, adopter: Adopter, role: str) -> None:
    adopter.start()
    adopter.prove()
    proofs = {
        "server": enrolment.server_proof(adopter.key, adopter.context),
        "host": enrolment.host_proof(adopter.key, adopter.context, b""),
    }
    assert told(adopter.finish(adopter.authority.host(host.key), proof=proofs[role])) == BAD_PROOF


def test_another_ca_than_the_proven_one_is_refused(
    host: Host, adopter: Adopter, other_authority: Authority
) -> None:
    adopter.start()
    adopter.prove()
    answer = adopter.finish(other_authority.host(host.key), other_authority.certificate)
    assert told(answer) == (422, "bad_certificate")
    assert "the CA is not the proven one" in answer.json["detail"]


def test_a_certificate_for_another_key_is_refused(host: Host, adopter: Adopter) -> None:
    adopter.start()
    adopter.prove()
    other = adopter.authority.host(certificates.new_key().public_key())
    assert told(adopter.finish(other)) == (422, "bad_certificate")
    assert state(host) == "enrolling"


def test_enrolling_ends_by_itself(host: Host, adopter: Adopter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "ENROLLING_FOR", 0.0)
    adopter.start()
    adopter.prove()
    assert told(adopter.finish(adopter.authority.host(host.key))) == (401, "server_not_proven")
    assert state(host) == "unclaimed"


def proven_by_code(world: World, authority: Authority, other: Authority) -> tuple[Host, Adopter]:
    """A host with a join key of one server, where another server has just proven its adopt code."""
    host = world.host(authority)
    by_code = Adopter(host, other, new_code(host))
    by_code.start()
    by_code.prove()
    return host, by_code


def test_a_server_with_a_join_key_takes_over_from_one_with_a_code(
    world: World, authority: Authority, other_authority: Authority
) -> None:
    host, by_code = proven_by_code(world, authority, other_authority)
    with host.session(authority.server()) as session:
        assert session.join(authority).status == 200
        assert told(by_code.finish(other_authority.host(host.key))) == (401, "server_not_proven")
        assert session.finish(authority.host(host.key), authority.pem).status == 200
    assert not (host.daemon.config.state_dir / adoptcode.FILE).exists()


def test_one_with_a_code_does_not_disturb_the_door_of_one_with_a_join_key(
    world: World, authority: Authority, other_authority: Authority
) -> None:
    """Else the CA that the code was proven for would be that of which TLS demands certificates."""
    host, _ = proven_by_code(world, authority, other_authority)
    enrol(host, authority)


def test_what_a_crash_left_is_wiped_at_the_next_start(world: World, authority: Authority) -> None:
    host = world.owned(authority)
    new_code(host)
    again = world.host(config=host.daemon.config)
    assert again.daemon.ownership.state == "owned"
    assert not (host.daemon.config.state_dir / adoptcode.FILE).exists()


def test_it_works(host: Host, adopter: Adopter, authority: Authority) -> None:
    certificate = adopter.adopt()
    assert host.daemon.ownership.state == "owned"
    server = authority.server()
    with host.session(server) as session:
        assert session.request("GET", "/v1/host").status in {200, 503}
        # The answer may have been lost: the same certificate again changes nothing, another is refused.
        assert session.finish(certificate, authority.pem).json == {"state": "owned"}
        assert told(session.finish(authority.host(host.key), authority.pem)) == (409, "already_owned")
    owner = json.loads((host.daemon.config.state_dir / "owner.json").read_text())
    assert (owner["server_id"], owner["key_id"]) == (authority.server_id, "")


def test_all_connections_of_before_are_closed(host: Host, adopter: Adopter) -> None:
    with host.session() as bystander:
        bystander.request("GET", WELL_KNOWN)
        adopter.adopt()
        assert bystander.ended()
    until(lambda: host.daemon.ownership.state == "owned")
