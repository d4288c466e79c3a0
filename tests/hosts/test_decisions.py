"""What a person may decide about a host, in which state, and what the rest of the fleet hears of it."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from pytest_django import DjangoCaptureOnCommitCallbacks

from hosts import services
from hosts.choices import Trust
from hosts.errors import BadInput, NotPossible, sentence
from hosts.models import Host, QuarantinedKey

from .factories import a_host

pytestmark = pytest.mark.django_db
Verb = Callable[..., None]


@pytest.mark.parametrize(
    ("verb", "trust", "problem"),
    [
        (services.approve, Trust.FOUND, "not_waiting"),
        (services.approve, Trust.OWNED, "not_waiting"),
        (services.deny, Trust.OWNED, "still_owned"),
        (services.deny, Trust.DENIED, "not_waiting"),
        (services.deny, Trust.RETIRED, "not_waiting"),
        (services.retire, Trust.FOUND, "not_owned"),
        (services.retire, Trust.PENDING, "not_owned"),
        (services.retire, Trust.DENIED, "not_owned"),
        (services.retire, Trust.RETIRED, "not_owned"),
        (services.forget, Trust.OWNED, "still_owned"),
    ],
)
def test_what_is_not_possible_changes_nothing(verb: Verb, trust: Trust, problem: str) -> None:
    host = a_host(trust=trust)
    with pytest.raises(NotPossible) as caught:
        verb(host)
    assert (caught.value.problem, str(caught.value)) == (problem, sentence(problem))
    assert Host.objects.get().trust == trust


@pytest.mark.parametrize(
    ("verb", "before", "after"),
    [
        (services.approve, Trust.PENDING, Trust.PENDING),
        (services.approve, Trust.DENIED, Trust.PENDING),
        (services.approve, Trust.RETIRED, Trust.PENDING),
        (services.deny, Trust.FOUND, Trust.DENIED),
        (services.deny, Trust.PENDING, Trust.DENIED),
        (services.retire, Trust.OWNED, Trust.RETIRED),
    ],
)
def test_what_is_possible(verb: Verb, before: Trust, after: Trust) -> None:
    host = a_host(trust=before)
    verb(host)
    stored = Host.objects.get()
    assert stored.trust == host.trust == after
    assert (stored.approved_at is not None) == (verb is services.approve)


def test_of_two_decisions_at_once_one_counts() -> None:
    host = a_host(trust=Trust.PENDING)
    stale = Host.objects.get()
    services.deny(host)
    with pytest.raises(NotPossible):
        services.deny(stale)


def test_an_approval_is_kept_while_redis_is_gone(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from kombu.exceptions import OperationalError

    def gone(*_: object, **__: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr("celery.current_app.send_task", gone)
    host = a_host(trust=Trust.PENDING)
    with django_capture_on_commit_callbacks(execute=True):
        services.approve(host)
    assert Host.objects.get().approved_at is not None
    assert "No worker was woken" in caplog.text


@pytest.mark.parametrize("trust", [Trust.FOUND, Trust.PENDING, Trust.DENIED, Trust.RETIRED])
def test_forget(trust: Trust) -> None:
    services.forget(a_host(trust=trust))
    assert not Host.objects.exists()


def test_an_address_outside_the_ranges_is_not_added() -> None:
    with pytest.raises(BadInput) as caught:
        services.add_by_hand("192.0.2.1", 16510)
    assert "address" in caught.value.message_dict
    assert str(caught.value)


@pytest.mark.usefixtures("dialable", "client_identity")
def test_an_address_without_a_daemon_is_not_added() -> None:
    with pytest.raises(NotPossible) as caught:
        services.add_by_hand("127.0.0.1", 1)
    assert caught.value.problem == "refused"


@pytest.mark.parametrize("trust", [Trust.FOUND, Trust.PENDING, Trust.DENIED, Trust.RETIRED])
def test_only_an_owned_host_is_refreshed(trust: Trust) -> None:
    outcome = services.refresh(a_host(trust=trust))
    assert (outcome.answered, outcome.problem) == (False, "not_owned")


def test_a_stranger_is_quarantined_for_a_false_claim_alone() -> None:
    from hosts.identify import Stranger

    claimed = uuid4()
    for reason in ("not_tls", "owned_by_another", "too_slow"):
        services.note_stranger("127.0.0.1", Stranger(reason))
    assert not QuarantinedKey.objects.exists()
    owned = a_host(uuid=claimed)
    services.note_stranger("127.0.0.9", Stranger("identity_mismatch", "ab" * 32, claimed))
    services.note_stranger("127.0.0.9", Stranger("identity_mismatch", "ab" * 32, claimed))
    key = QuarantinedKey.objects.get()
    assert (key.claimed_uuid, key.problem) == (claimed, "identity_mismatch")
    owned.refresh_from_db()
    assert (owned.trust, owned.problem, owned.address) == (Trust.OWNED, "", "127.0.0.1")
