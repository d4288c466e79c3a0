"""What a person is told when a host cannot be had, and what to do about it."""

import pytest

from hosts.errors import SENTENCES, EnrolmentError, ProblemAnswer, sentence

# Every way in which an enrolment or an owned host's trust fails, and what its sentence must say to do.
ADVICE = {
    "already_owned": "virshmanagerd reset",
    "api_too_old": "Update",
    "approval_needed": "approval",
    "bad_certificate": "clock",
    "bad_csr": "Look at its daemon",
    "bad_proof": "virshmanagerd code",
    "clock_skew": "Set both clocks",
    "code_expired": "virshmanagerd code",
    "denied": "approves or adopts",
    "duplicate_identity": "virshmanagerd reset",
    "enrolling": "in a minute",
    "fingerprint_changed": "Look at the host",
    "identity_mismatch": "Look at what runs there",
    "join_key_expired": "Create a new one",
    "join_key_pending": "approval",
    "join_key_revoked": "Create a new one",
    "join_key_spent": "Create a new one",
    "join_key_unknown": "adopt it by a code",
    "join_key_wrong_network": "adopt it by a code",
    "mitm_suspected": "virshmanagerd reset",
    "no_join_key": "virshmanagerd code",
    "owned_by_another": "virshmanagerd reset",
    "ownership_lost": "virshmanagerd code",
    "quarantined": "virshmanagerd reset",
    "refused": "virshmanagerd runs there",
    "rejected_by_host": "its clock",
    "retired": "approves or adopts",
    "server_not_proven": "adopt it by a code",
    "still_owned": "Retire it first",
    "too_many_attempts": "Try again in 7 seconds",
    "wrong_identity": "crawl its network",
}


@pytest.mark.parametrize(("word", "advice"), ADVICE.items())
def test_a_failure_says_what_to_do(word: str, advice: str) -> None:
    told = str(EnrolmentError(word, seconds=7))
    assert advice in told
    assert told != word


def test_no_sentence_promises_what_it_is_not_given() -> None:
    assert "%" not in str(EnrolmentError("clock_skew", seconds=90))
    assert sentence("a word of a newer daemon") == "a word of a newer daemon"


@pytest.mark.attack("Hostile daemon")
def test_a_host_may_say_each_of_our_words() -> None:
    """Some of our sentences tell what only we could know: then the host's own words stand."""
    for word in SENTENCES:
        told = str(ProblemAnswer(word, 409, "100 % its own"))
        assert told
        assert "%(" not in told
    assert str(ProblemAnswer("clock_skew", 409, "its own")) == "its own"
    assert str(ProblemAnswer("clock_skew", 409, "")) == "clock_skew"
