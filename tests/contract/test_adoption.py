"""Adoption of real daemons by the real server: every refusal first, then the way that works."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from virshmanagerd import adoptcode, certificates

from access.models import AuditEntry
from hosts import services
from hosts.choices import Trust
from hosts.errors import BadInput, EnrolmentError, NotPossible
from hosts.models import Host, QuarantinedKey

from .conftest import meet
from .machines import Machine, Running

Run = Callable[..., Running]


@pytest.fixture
def running(tmp_path: Path, run: Run) -> Running:
    found = run(Machine(tmp_path / "hv-01"))
    assert meet(found).outcome == "found"
    return found


def new_code(running: Running) -> str:
    """What `virshmanagerd code` makes."""
    daemon = running.daemon
    return adoptcode.make(daemon.config.state_dir, daemon.identity.key, certificates.now())


@pytest.mark.parametrize("typed", ["", "ABCDE", "ABCDE-FGHJU", "ABCDE-FGHJK-M", "ABCDE FGHJ\N{BULLET}"])
def test_what_cannot_be_a_code_is_not_sent(running: Running, typed: str) -> None:
    with pytest.raises(BadInput) as caught:
        services.adopt(Host.objects.get(), typed)
    assert caught.value.field == "code"


def test_a_wrong_code_is_refused_and_the_right_one_stays_good(running: Running) -> None:
    code = new_code(running)
    with pytest.raises(EnrolmentError) as caught:
        services.adopt(Host.objects.get(), "0123456789")
    assert caught.value.problem == "bad_proof"
    assert not QuarantinedKey.objects.exists()
    assert Host.objects.get().trust == Trust.FOUND
    services.adopt(Host.objects.get(), code)


def test_an_owned_host_is_not_adopted_again(running: Running) -> None:
    code = new_code(running)
    services.adopt(Host.objects.get(), code)
    with pytest.raises(NotPossible) as caught:
        services.adopt(Host.objects.get(), code)
    assert caught.value.problem == "owned_here"


def test_how_and_by_whom_it_was_adopted_is_kept(running: Running, django_user_model: type[User]) -> None:
    otto = django_user_model.objects.create_user("otto")
    services.adopt(Host.objects.get(), new_code(running), actor=otto)
    otto.delete()
    host = Host.objects.get()
    assert (host.joined_by, host.join_key, host.approved_by) == ("code", None, "otto")
    assert host.approved_at is not None


@pytest.mark.parametrize("trust", [Trust.FOUND, Trust.PENDING, Trust.DENIED, Trust.RETIRED])
def test_it_works(running: Running, trust: Trust) -> None:
    Host.objects.update(trust=trust)
    code = new_code(running)
    services.adopt(Host.objects.get(), f" {code[:5].lower()}-{code[5:]} ".replace("0", "o").replace("1", "l"))
    host = Host.objects.get()
    assert (host.trust, host.problem, host.hostname, host.join_key) == (Trust.OWNED, "", "hv-01", None)
    assert host.certificate_serial
    assert running.daemon.ownership.state == "owned"
    deeds = AuditEntry.objects.filter(target_id=str(host.pk)).order_by("pk")
    told = [(deed.action, deed.result, deed.target_name, deed.detail["address"]) for deed in deeds]
    assert told == [("host.enrol", "ok", "hv-01", host.address), ("host.adopt", "ok", "hv-01", host.address)]
    assert code not in str(list(AuditEntry.objects.values()))
