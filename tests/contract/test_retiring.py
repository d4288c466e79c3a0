"""Real daemons that are retired: reachable or not, once told or told again, and what lets them in anew."""

import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks
from virshmanagerd.handlers import owner

from hosts import services, trust
from hosts.agent import Recovery, calls, forget_owner, hang_up
from hosts.agent.transport import Timeouts
from hosts.choices import Trust
from hosts.errors import OutsideRanges, WrongIdentity
from hosts.models import Host, HostCertificate
from hosts.services import farewells

from .conftest import meet
from .machines import Machine, Running

Run = Callable[..., Running]


def retired() -> Host:
    services.retire(Host.objects.get())
    return Host.objects.get()


def test_the_farewell_is_not_said_outside_the_ranges(
    run: Run, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = run(machine)
    meet(running)
    host = retired()
    monkeypatch.setattr("hosts.guards._guards", [])
    with pytest.raises(OutsideRanges):
        forget_owner(host)
    assert not services.say_farewell(host)
    assert running.daemon.ownership.state == "owned"


def test_nobody_but_a_retired_host_is_told_to_forget(run: Run, machine: Machine) -> None:
    running = run(machine)
    meet(running)
    for trust_word in (Trust.OWNED, Trust.PENDING, Trust.DENIED):
        Host.objects.update(trust=trust_word, farewell_until=timezone.now() + timedelta(hours=1))
        assert not services.say_farewell(Host.objects.get())
        assert services.repeat_farewells(10) == 0
    assert running.daemon.ownership.state == "owned"


def test_who_was_not_reached_is_not_let_in_by_its_old_certificate(run: Run, machine: Machine) -> None:
    running = run(machine)
    meet(running)
    host = retired()
    services.approve(host)
    assert meet(running).outcome == "certificate_denied"
    host = Host.objects.get()
    assert (host.trust, host.problem) == (Trust.PENDING, "certificate_denied")
    assert "virshmanagerd reset" in host.reason


def test_nor_is_its_certificate_renewed_by_the_recovery(run: Run, machine: Machine) -> None:
    running = run(machine)
    meet(running)
    host = retired()
    with pytest.raises(WrongIdentity):
        Recovery(host, trust.server_identity()).signing_request()
    HostCertificate.objects.update(denied_at=None)
    Recovery(host, trust.server_identity()).signing_request()


def test_it_is_told_again_for_an_hour_and_then_no_more(run: Run, machine: Machine) -> None:
    with machine.run() as running:
        meet(running)
    hang_up(Host.objects.get())
    host = retired()
    assert not services.say_farewell(host)
    host.refresh_from_db()
    assert (host.trust, host.problem) == (Trust.RETIRED, "retired_untold")
    assert "cannot be reached" in host.reason
    running = run(machine, running.ip, running.port)
    Host.objects.update(farewell_until=timezone.now() - timedelta(seconds=1))
    assert services.repeat_farewells(10) == 0
    Host.objects.update(farewell_until=timezone.now() + timedelta(minutes=1))
    assert services.repeat_farewells(10) == 1
    assert running.daemon.ownership.state == "unclaimed"
    assert Host.objects.get().problem == "retired_told"


def test_whose_answer_was_lost_has_forgotten_all_the_same(
    run: Run, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = run(machine)
    meet(running)
    host = retired()

    def lost(*_: Any) -> Any:
        raise RuntimeError("the machine goes down now")

    with monkeypatch.context() as patch:
        patch.setattr(owner, "json_response", lost)
        assert not services.say_farewell(host)
    assert running.daemon.ownership.state == "unclaimed"
    assert Host.objects.get().problem == "retired_untold"
    assert services.repeat_farewells(10) == 1
    assert Host.objects.get().problem == "retired_told"


@pytest.mark.parametrize("meanwhile", [False, True])
def test_the_verdict_is_not_written_over_a_persons(
    run: Run, machine: Machine, monkeypatch: pytest.MonkeyPatch, *, meanwhile: bool
) -> None:
    running = run(machine)
    meet(running)
    host = retired()

    def let_in(host: Host) -> None:
        services.approve(Host.objects.get())
        forget_owner(host)

    if meanwhile:
        monkeypatch.setattr(farewells, "forget_owner", let_in)
    else:
        services.approve(Host.objects.get())
    assert services.say_farewell(host) is meanwhile
    assert running.daemon.ownership.state == ("unclaimed" if meanwhile else "owned")
    assert (Host.objects.get().trust, Host.objects.get().problem) == (Trust.PENDING, "")


def test_who_hangs_time_and_again_keeps_nobody_from_being_told(
    run: Run, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "JOURNAL", Timeouts(0.5, 0.5, 0.5))
    running = run(machine)
    meet(running)
    retired()
    until = timezone.now() + timedelta(minutes=30)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for _ in range(3):
            place = {"address": "127.0.0.1", "port": silent.getsockname()[1]}
            Host.objects.create(uuid=uuid4(), trust=Trust.RETIRED, farewell_until=until, **place)
        # Each of these turns is over after one that hangs.
        turns = 0
        while running.daemon.ownership.state == "owned":
            services.repeat_farewells(0.1)
            turns += 1
            assert turns < 20
    assert Host.objects.filter(problem="retired_told").count() == 1


def test_it_works(
    run: Run, machine: Machine, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Retired, told, and owned anew by a new join key once a person approves."""
    running = run(machine)
    meet(running)
    sent: list[tuple[str, list[int]]] = []
    monkeypatch.setattr("celery.current_app.send_task", lambda task, args, **_: sent.append((task, args)))
    with django_capture_on_commit_callbacks(execute=True):
        host = retired()
    assert sent == [("hosts.tasks.say_farewell", [host.pk])]
    assert services.say_farewell(host)
    assert (running.daemon.ownership.state, running.daemon.identity.id) == ("unclaimed", str(host.uuid))
    machine.give_join_key(services.create_join_key()[1])
    running.daemon.poll()
    assert meet(running).outcome == "retired"
    services.approve(Host.objects.get())
    assert meet(running).outcome == "owned"
    newest, oldest = HostCertificate.objects.all()
    assert (newest.denied_at, oldest.denied_at is None) == (None, False)
    assert services.probe(Host.objects.get()).answered
