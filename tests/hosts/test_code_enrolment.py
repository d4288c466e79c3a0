"""Daemons that lie while they are adopted by a code: each lie has its word, and gets no certificate."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509

from hosts.errors import EnrolmentError
from hosts.trust import ClientIdentity, keys
from hosts.trust.protocol import from_base64, to_base64

from .liars import CODE, NONCE, STEPS, CodeDaemon
from .peers import ok, problem, response


@pytest.fixture
def daemon(tmp_path: Path, client_identity: ClientIdentity) -> CodeDaemon:
    return CodeDaemon(tmp_path, client_identity)


def adopted(daemon: CodeDaemon, code: str = CODE) -> x509.Certificate:
    with daemon.met() as enrolment:
        enrolment.prove_code(code)
        return enrolment.finish()


def refusal(daemon: CodeDaemon, code: str = CODE) -> EnrolmentError:
    with pytest.raises(EnrolmentError) as caught:
        adopted(daemon, code)
    return caught.value


def without_certificate(daemon: CodeDaemon) -> bool:
    return "finish" not in daemon.heard


def test_a_wrong_code_is_refused(daemon: CodeDaemon) -> None:
    assert refusal(daemon, "0123456789").problem == "bad_proof"
    assert without_certificate(daemon)


@pytest.mark.parametrize(
    "lie",
    [
        {"method": "join"},
        {"server_id": uuid4()},
        {"daemon_id": uuid4()},
        {"server_nonce": b"x" * 32},
        {"daemon_nonce": b"x" * 32},
        {"host_key": b"the key that the true host shows"},
        {"ca_key": b"another authority"},
    ],
)
def test_a_proof_of_another_meeting_is_suspect(daemon: CodeDaemon, lie: dict[str, Any]) -> None:
    daemon.steps["code/prove"] = lambda _: daemon.prove(**lie)
    assert refusal(daemon).problem == "mitm_suspected"
    assert without_certificate(daemon)


def test_a_proof_from_an_earlier_meeting_is_suspect(daemon: CodeDaemon) -> None:
    kept: list[bytes] = []

    def once(_: object) -> bytes:
        kept.append(daemon.prove())
        return kept[0]

    daemon.steps["code/prove"] = once
    adopted(daemon)
    daemon.heard.clear()
    assert refusal(daemon).problem == "mitm_suspected"
    assert without_certificate(daemon)


def test_who_gives_the_servers_own_proof_back_is_suspect(daemon: CodeDaemon) -> None:
    daemon.steps["code/prove"] = lambda body: daemon.proof(daemon.csr(), from_base64(body["proof"], 32))
    assert refusal(daemon).problem == "mitm_suspected"


def test_who_does_not_know_the_code_is_suspect(daemon: CodeDaemon) -> None:
    daemon.steps["code/prove"] = lambda _: daemon.proof(daemon.csr(), b"p" * 32)
    assert refusal(daemon).problem == "mitm_suspected"
    assert without_certificate(daemon)


def test_a_request_for_another_key_is_refused(daemon: CodeDaemon) -> None:
    daemon.steps["code/prove"] = lambda _: daemon.prove(keys.new_key())
    assert refusal(daemon).problem == "bad_csr"
    assert without_certificate(daemon)


@pytest.mark.parametrize("step", STEPS)
def test_another_key_than_was_identified_is_told_nothing(daemon: CodeDaemon, step: str) -> None:
    """Each step is a connection of its own: who answers one need not be who answers the next."""
    daemon.impostors = {step}
    assert refusal(daemon).problem == "fingerprint_changed"
    assert list(daemon.heard) == STEPS[: STEPS.index(step)]


@pytest.mark.parametrize(
    "lie",
    [
        {"salt": to_base64(b"s" * 15)},
        {"salt": to_base64(b"s" * 32)},
        {"salt": None},
        {"salt": "*" * 24},
        {"daemon_nonce": to_base64(b"d" * 31)},
        {"daemon_nonce": ["x"]},
    ],
)
def test_what_the_proofs_need_must_be_what_the_protocol_says(daemon: CodeDaemon, lie: dict[str, Any]) -> None:
    daemon.steps["code/start"] = lambda _: daemon.start(**lie)
    assert refusal(daemon).problem == "bad_answer"
    assert list(daemon.heard) == ["code/start"]


def test_weaker_parameters_are_not_taken(daemon: CodeDaemon) -> None:
    """Else who answers could guess a person's code from the server's proof, offline."""
    daemon.steps["code/start"] = lambda _: daemon.start(n=2, r=1, p=1, method="join", code_length=1)
    adopted(daemon)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (problem(404, "not_found"), "api_too_old"),
        (problem(426, "api_too_old"), "api_too_old"),
        (problem(409, "already_owned"), "already_owned"),
        (problem(401, "bad_proof"), "bad_proof"),
        (problem(410, "code_expired"), "code_expired"),
        (problem(401, "server_not_proven"), "server_not_proven"),
        (problem(422, "bad_certificate"), "bad_certificate"),
        (problem(429, "too_many_attempts"), "too_many_attempts"),
        (problem(404, "gone"), "bad_answer"),
        (problem(500, "internal_error"), "bad_answer"),
        (problem(418, "<script>"), "bad_answer"),
        (ok({}), "bad_answer"),
        (ok([]), "bad_answer"),
        (ok(b'{"daemon_nonce": NaN}'), "bad_answer"),
        (ok(b"[" * 10_000), "bad_answer"),
        (ok(b"x" * 20_000), "too_large"),
        (response(302, b"", {"Location": "/"}), "bad_answer"),
        (response(200, b"", {"Content-Encoding": "gzip"}), "not_virshmanager"),
        (b"SSH-2.0\r\n\r\n", "not_virshmanager"),
        (b"", "server_not_proven"),
    ],
)
def test_answers(daemon: CodeDaemon, answer: bytes, expected: str) -> None:
    daemon.steps["code/start"] = lambda _: answer
    assert refusal(daemon).problem == expected
    assert list(daemon.heard) == ["code/start"]


@pytest.mark.parametrize("step", STEPS[1:])
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (problem(410, "code_expired"), "code_expired"),
        (problem(429, "too_many_attempts"), "too_many_attempts"),
        (ok({}), "bad_answer"),
        (b"", "server_not_proven"),
    ],
)
def test_answers_to_later_steps(daemon: CodeDaemon, step: str, answer: bytes, expected: str) -> None:
    daemon.steps[step] = lambda _: answer
    assert refusal(daemon).problem == expected
    assert list(daemon.heard) == STEPS[: STEPS.index(step) + 1]


@pytest.mark.parametrize("step", STEPS)
def test_an_answer_that_is_cut_off(daemon: CodeDaemon, step: str) -> None:
    told = daemon.steps[step]
    daemon.steps[step] = lambda body: told(body)[:-1]
    assert refusal(daemon).problem == "not_virshmanager"


@pytest.mark.parametrize("step", STEPS)
def test_an_answer_that_does_not_end_costs_one_deadline(
    daemon: CodeDaemon, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.hangs_at = step
    monkeypatch.setattr("hosts.enrolment.DEADLINE", 0.5)
    assert refusal(daemon).problem == "timed_out"


def test_it_is_not_owned_because_it_took_the_certificate(daemon: CodeDaemon) -> None:
    daemon.steps["finish"] = lambda _: ok({"state": "enrolling"})
    assert refusal(daemon).problem == "bad_answer"


@pytest.mark.parametrize(
    ("told", "seconds"),
    [("7", 7), ("999999999", 60), ("7200", 3600), ("-1", 60), ("soon", 60), ("\xb2", 60), ("", 60)],
)
def test_how_long_to_wait_is_told(daemon: CodeDaemon, told: str, seconds: int) -> None:
    daemon.steps["code/start"] = lambda _: response(429, {"type": "too_many_attempts"}, {"Retry-After": told})
    assert f" in {seconds} seconds." in str(refusal(daemon))


def test_a_clock_that_is_wrong_is_blamed(daemon: CodeDaemon) -> None:
    daemon.steps["finish"] = lambda _: response(
        422, {"type": "bad_certificate"}, {"Date": "Sun, 06 Nov 1994 08:49:37 GMT"}
    )
    assert refusal(daemon).problem == "clock_skew"


def test_it_works_without_a_word_of_the_code(daemon: CodeDaemon) -> None:
    certificate = adopted(daemon)
    assert certificate.public_key() == daemon.key.public_key()
    assert "root" not in certificate.subject.rfc4514_string()
    sent = json.dumps(daemon.heard)
    assert CODE not in sent
    assert to_base64(NONCE) not in sent
    assert not daemon.shown
