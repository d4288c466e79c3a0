"""Enrolment of real daemons by the real server: every refusal first, then the way that works."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.x509 import load_pem_x509_certificate
from django.utils import timezone
from pytest_django.fixtures import Settings

from hosts import services, trust
from hosts.agent import agent_of, hang_up
from hosts.choices import Approval, Trust
from hosts.errors import GivenUp, RejectedByHost, sentence
from hosts.identify import Stranger, identify
from hosts.models import Host, JoinKey, QuarantinedKey
from hosts.trust.protocol import to_base64

from .conftest import meet
from .machines import Machine, Running

Run = Callable[..., Running]


def test_a_daemon_without_a_join_key_is_found_and_no_more(tmp_path: Path, run: Run) -> None:
    running = run(Machine(tmp_path / "hv"))
    met = meet(running)
    assert met.outcome == "found"
    assert met.host is not None
    assert (met.host.uuid, met.host.trust, met.host.problem) == (running.id, Trust.FOUND, "no_join_key")
    assert met.reason == sentence("no_join_key")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"expires_at": timezone.now() - timedelta(hours=1)}, "join_key_expired"),
        ({"revoked_at": timezone.now()}, "join_key_revoked"),
        ({"max_uses": 1, "uses": 1}, "join_key_spent"),
        ({"cidrs": ["10.0.0.0/8"]}, "join_key_wrong_network"),
    ],
)
def test_a_key_that_is_not_good_here(
    run: Run, machine: Machine, change: dict[str, Any], expected: str
) -> None:
    JoinKey.objects.update(**change)
    running = run(machine)
    met = meet(running)
    assert (met.outcome, met.reason) == (expected, sentence(expected))
    assert running.daemon.ownership.state == "unclaimed"
    assert Host.objects.get().trust == Trust.FOUND


def test_a_key_of_nobody(run: Run, machine: Machine) -> None:
    JoinKey.objects.all().delete()
    assert meet(run(machine)).outcome == "join_key_unknown"


def test_a_wrong_secret_is_quarantined(run: Run, machine: Machine, join: dict[str, Any]) -> None:
    machine.give_join_key(join | {"secret": to_base64(b"x" * 32)})
    running = run(machine)
    assert meet(running).outcome == "mitm_suspected"
    key = QuarantinedKey.objects.get()
    assert (key.claimed_uuid, key.problem) == (running.id, "mitm_suspected")
    assert running.daemon.ownership.state == "enrolling"
    met = meet(running)
    assert (met.host, met.outcome) == (None, "quarantined")
    assert Host.objects.get().trust == Trust.FOUND


def test_a_host_whose_key_file_names_another_authority(
    run: Run, machine: Machine, join: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    ours = settings.VIRSHMANAGER_HOME
    settings.VIRSHMANAGER_HOME = tmp_path / "other"
    settings.VIRSHMANAGER_HOME.mkdir()
    machine.give_join_key(join | {"ca": trust.ca().pem})
    settings.VIRSHMANAGER_HOME = ours
    assert meet(run(machine)).outcome == "server_not_proven"
    assert not QuarantinedKey.objects.exists()


def test_a_clock_that_differs_is_named_with_its_seconds(
    run: Run, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = run(machine)
    behind = timezone.now() - timedelta(days=2)
    monkeypatch.setattr("virshmanagerd.certificates.now", lambda: behind)
    monkeypatch.setattr("email.utils.formatdate", lambda **_: format_datetime(behind, usegmt=True))
    met = meet(running)
    assert met.outcome == "clock_skew"
    assert re.search("17280[0-9]", met.reason)


def test_the_last_use_is_used_once(run: Run, machine: Machine, tmp_path: Path, join: dict[str, Any]) -> None:
    JoinKey.objects.update(max_uses=1)
    second = Machine(tmp_path / "hv-02")
    second.give_join_key(join)
    assert meet(run(machine)).outcome == "owned"
    assert meet(run(second)).outcome == "join_key_spent"
    assert JoinKey.objects.get().uses == 1


def test_a_daemon_of_another_server(run: Run, machine: Machine, settings: Settings, tmp_path: Path) -> None:
    running = run(machine)
    assert meet(running).outcome == "owned"
    hang_up(Host.objects.get())
    settings.VIRSHMANAGER_HOME = tmp_path / "other"
    settings.VIRSHMANAGER_HOME.mkdir()
    found = identify(running.ip, running.port, client=trust.server_identity())
    assert found == Stranger("owned_by_another")
    outcome = services.probe(Host.objects.get())
    assert (outcome.answered, outcome.problem) == (False, "owned_by_another")


def test_another_server_of_the_same_authority_is_refused(run: Run, machine: Machine) -> None:
    with machine.run() as running:
        meet(running)
    owner = machine.folder / "state" / "owner.json"
    owner.write_text(owner.read_text().replace(str(trust.server_identity().server_id), str(uuid4())))
    running = run(machine)
    with pytest.raises(RejectedByHost):
        agent_of(Host.objects.get(), at=(running.ip, running.port)).host()


def test_zero_touch(run: Run, machine: Machine) -> None:
    running = run(machine)
    met = meet(running)
    assert (met.outcome, met.reason) == ("owned", "")
    host = Host.objects.get()
    assert (host.uuid, host.trust, host.problem) == (running.id, Trust.OWNED, "")
    assert (host.hostname, host.hypervisor, host.libvirt_alive) == ("hv-01", "TEST", True)
    assert host.certificate_expires_at is not None
    assert timedelta(days=29) < host.certificate_expires_at - timezone.now() < timedelta(days=30)
    assert host.last_seen is not None
    assert host.listed_at is not None
    assert [(address.ip, address.port) for address in host.addresses.all()] == [(running.ip, running.port)]
    assert not (machine.folder / "join.json").exists()
    assert running.daemon.ownership.state == "owned"
    assert JoinKey.objects.get().uses == 1


def test_the_signed_certificate_is_what_the_contract_says(run: Run, machine: Machine) -> None:
    running = run(machine)
    meet(running)
    owner = json.loads((machine.folder / "state" / "owner.json").read_text())
    certificate = load_pem_x509_certificate(owner["certificate"].encode())
    assert owner["server_id"] == str(trust.server_identity().server_id)
    assert f"{certificate.serial_number:x}" == Host.objects.get().certificate_serial
    assert trust.ca().issued(certificate)


def test_approval(run: Run, machine: Machine) -> None:
    JoinKey.objects.update(approve=Approval.PENDING)
    running = run(machine)
    assert meet(running).outcome == "pending"
    assert meet(running).outcome == "pending"
    host = Host.objects.get()
    assert (host.trust, host.problem) == (Trust.PENDING, "join_key_pending")
    assert JoinKey.objects.get().uses == 1
    services.approve(host)
    assert host.trust == Trust.PENDING
    assert services.probe(host).answered
    host.refresh_from_db()
    assert (host.trust, host.problem) == (Trust.OWNED, "")
    assert JoinKey.objects.get().uses == 1


def test_an_approved_host_with_an_expired_key_says_so(run: Run, machine: Machine) -> None:
    JoinKey.objects.update(approve=Approval.PENDING)
    running = run(machine)
    meet(running)
    JoinKey.objects.update(expires_at=timezone.now())
    host = Host.objects.get()
    services.approve(host)
    services.probe(host)
    host.refresh_from_db()
    assert (host.trust, host.problem) == (Trust.PENDING, "join_key_expired")


def test_a_denied_host_stays_out_until_it_is_approved(run: Run, machine: Machine) -> None:
    JoinKey.objects.update(approve=Approval.PENDING)
    running = run(machine)
    meet(running)
    host = Host.objects.get()
    services.deny(host)
    assert meet(running).outcome == "denied"
    assert not services.probe(host).answered
    with pytest.raises(GivenUp):
        agent_of(host)
    services.approve(host)
    services.probe(host)
    host.refresh_from_db()
    assert host.trust == Trust.OWNED


def test_a_retired_host_stays_away(run: Run, machine: Machine, join: dict[str, Any]) -> None:
    with machine.run() as running:
        meet(running)
    host = Host.objects.get()
    services.retire(host)
    machine.reset()
    machine.give_join_key(join)
    running = run(machine)
    assert meet(running).outcome == "retired"
    assert running.daemon.ownership.state == "unclaimed"
    services.approve(host)
    assert meet(running).outcome == "owned"


def test_a_host_that_was_retired_and_forgotten_is_not_let_in_by_what_it_shows(
    run: Run, machine: Machine
) -> None:
    running = run(machine)
    meet(running)
    host = Host.objects.get()
    services.retire(host)
    services.forget(host)
    met = meet(running)
    assert (met.outcome, met.reason) == ("certificate_denied", sentence("certificate_denied"))


def test_a_host_whose_row_is_gone_waits_for_a_person(run: Run, machine: Machine) -> None:
    running = run(machine)
    meet(running)
    Host.objects.all().delete()
    met = meet(running)
    assert (met.outcome, met.reason) == ("pending", sentence("approval_needed"))
    assert met.host is not None
    services.approve(met.host)
    assert meet(running).outcome == "owned"


def test_an_enrolment_whose_last_step_was_missed_is_completed(run: Run, machine: Machine) -> None:
    running = run(machine)
    meet(running)
    # As if this server had died after the daemon took its certificate.
    Host.objects.update(trust=Trust.FOUND, owned_at=None, certificate_serial="")
    assert meet(running).outcome == "owned"
    assert Host.objects.get().certificate_serial


def test_a_host_that_is_being_enrolled_elsewhere_is_left_alone(run: Run, machine: Machine) -> None:
    running = run(machine)
    Host.objects.create(
        uuid=running.id,
        address=running.ip,
        port=running.port,
        public_key_sha256=running.daemon.identity.spki_sha256.hex(),
        enrolling_until=timezone.now() + timedelta(seconds=20),
    )
    assert meet(running).outcome == "enrolling"
    Host.objects.update(enrolling_until=timezone.now() - timedelta(seconds=1))
    assert meet(running).outcome == "owned"


def test_what_was_signed_before_does_not_stand_in_for_an_approval(run: Run, machine: Machine) -> None:
    """A host that was reset, and proved a key that waits, shows again what it had as an owned one."""
    running = run(machine)
    meet(running)
    waiting, _ = services.create_join_key(approve=Approval.PENDING)
    Host.objects.update(trust=Trust.PENDING, join_key=waiting)
    met = meet(running)
    assert (met.outcome, met.reason) == ("pending", sentence("approval_needed"))
    assert met.host is not None
    services.approve(met.host)
    assert meet(running).outcome == "owned"
