"""Certificates of real daemons: renewed while streams are open, and recovered after they have expired."""

import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
import virshmanagerd.certificates
from channels.db import database_sync_to_async
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from django.utils import timezone
from virshmanagerd.connection import Connection
from virshmanagerd.engine import Door
from virshmanagerd.exchange import RawRequest
from virshmanagerd.identity import KEY, OWNER

from access.models import AuditEntry
from domains.watcher import Watcher
from hosts import services, trust
from hosts.agent import Recovery, agent_of, hang_up
from hosts.errors import CertificateOutOfDate, OutsideRanges, RejectedByHost, WrongIdentity
from hosts.models import Host, HostCertificate
from hosts.trust import client, keys
from tests.signing import csr

from .conftest import by_one_stream, meet
from .machines import Machine, Running

Run = Callable[..., Running]
DAY = 86400


def sign_in_the_past(machine: Machine, days: int) -> str:
    """A certificate of our authority as it was signed so many days ago."""
    key = keys.key_from_pem((machine.folder / "state" / KEY).read_bytes())
    with time_machine.travel(time.time() - days * DAY, tick=False):
        return trust.ca().sign_host(csr(key)).public_bytes(Encoding.PEM).decode()


def let_expire(machine: Machine) -> None:
    """As if the machine had been away for a month and more: it carries a certificate that has ended."""
    path = machine.folder / "state" / OWNER
    owner = json.loads(path.read_text())
    owner["certificate"] = sign_in_the_past(machine, 40)
    path.write_text(json.dumps(owner))
    ended = timezone.now() - timedelta(days=10)
    Host.objects.update(certificate_expires_at=ended, last_seen=ended, missed_probes=0)


@pytest.fixture
def expired(run: Run, machine: Machine) -> Running:
    """A machine that was owned, and came back after its certificate had expired."""
    with machine.run() as running:
        meet(running)
    hang_up(Host.objects.get())
    let_expire(machine)
    return run(machine, running.ip, running.port)


def shown_serial(running: Running) -> str:
    owner = running.daemon.ownership.owner
    assert owner is not None
    return f"{x509.load_pem_x509_certificate(owner.certificate.encode()).serial_number:x}"


def recovery() -> Recovery:
    return Recovery(Host.objects.get(), trust.server_identity())


def test_the_recovery_dials_nothing_outside_the_ranges(
    expired: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hosts.guards._guards", [])
    with pytest.raises(OutsideRanges):
        recovery().signing_request()


def test_the_recovery_says_nothing_to_another_host(
    run: Run, machine: Machine, join: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meet(run(machine))
    first = Host.objects.get()
    other = Machine(tmp_path / "hv-02")
    other.give_join_key(join)
    second = run(other)
    meet(second)
    first.address, first.port = second.ip, second.port
    asked = _note_requests(monkeypatch)
    with pytest.raises(WrongIdentity):
        Recovery(first, trust.server_identity()).signing_request()
    assert not asked


def test_the_recovery_says_nothing_to_the_right_key_under_another_authority(
    expired: Running, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _note_requests(monkeypatch)
    settings.VIRSHMANAGER_HOME = tmp_path / "other"
    settings.VIRSHMANAGER_HOME.mkdir()
    with pytest.raises(WrongIdentity):
        recovery().signing_request()
    assert not asked


def _note_requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What reaches any daemon as HTTP from now on."""
    asked: list[str] = []
    dispatch = Door.dispatch

    def note(door: Door, connection: Connection, request: RawRequest) -> None:
        asked.append(request.target)
        dispatch(door, connection, request)

    monkeypatch.setattr(Door, "dispatch", note)
    return asked


def test_the_recovery_of_a_stranger_is_refused_by_the_host(expired: Running) -> None:
    """A server certificate of the same authority with another id is no owner."""
    identity = trust.server_identity()
    (identity.file.parent / "server_id").write_text("00000000-0000-8000-8000-000000000000")
    identity.file.unlink()
    stranger = client.load(identity.file.parent, trust.ca())
    with pytest.raises(RejectedByHost):
        Recovery(Host.objects.get(), stranger).signing_request()


def test_no_certificate_is_signed_for_a_key_that_was_not_pinned(
    run: Run, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    meet(run(machine))
    lie = virshmanagerd.certificates.signing_request(virshmanagerd.certificates.new_key())
    monkeypatch.setattr("virshmanagerd.certificates.signing_request", lambda _key: lie)
    assert not services.renew(Host.objects.get())
    assert HostCertificate.objects.count() == 1


def test_who_is_retired_while_he_is_renewed_gets_nothing_that_is_not_denied(
    run: Run, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host may hold its request back until a person has given it up."""
    running = run(machine)
    meet(running)
    host = Host.objects.get()
    sign = trust.Authority.sign_host

    def sign_late(authority: trust.Authority, request: bytes) -> x509.Certificate:
        services.retire(Host.objects.get())
        return sign(authority, request)

    monkeypatch.setattr(trust.Authority, "sign_host", sign_late)
    assert not services.renew(host)
    assert not HostCertificate.objects.filter(denied_at=None).exists()
    assert shown_serial(running) == host.certificate_serial


def test_what_a_host_does_not_take_is_not_noted_as_in_use(
    run: Run, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = run(machine)
    meet(running)
    before = Host.objects.get().certificate_serial
    monkeypatch.setattr(virshmanagerd.certificates, "now", lambda: timezone.now() - timedelta(days=2))
    assert not services.renew(Host.objects.get())
    assert Host.objects.get().certificate_serial == before == shown_serial(running)


def test_a_renewal_is_kept_in_the_history(run: Run, machine: Machine) -> None:
    running = run(machine)
    meet(running)
    host = Host.objects.get()
    old = host.certificate_serial
    assert services.renew(host)
    host = Host.objects.get()
    assert host.certificate_serial == shown_serial(running) != old
    newest, oldest = host.certificates.all()
    assert (newest.serial, oldest.serial) == (host.certificate_serial, old)
    assert newest.public_key_sha256 == oldest.public_key_sha256 == host.public_key_sha256
    assert newest.expires_at == host.certificate_expires_at
    deed = AuditEntry.objects.get(action="host.renew")
    assert (deed.via, deed.target_id, deed.detail) == ("system", str(host.pk), {"serial": newest.serial})


def test_a_month_away_heals_by_itself(expired: Running) -> None:
    host = Host.objects.get()
    with pytest.raises(CertificateOutOfDate):
        agent_of(host).host()
    outcome = services.probe(host)
    assert (outcome.answered, outcome.problem) == (False, "certificate_expired")
    assert services.renew_due(10) == 1
    host = Host.objects.with_status().get()
    assert (host.problem, host.status, host.trust) == ("", "online", "owned")
    assert host.certificate_expires_at is not None
    assert host.certificate_expires_at > timezone.now() + timedelta(days=29)
    assert services.probe(host).answered


def test_a_server_that_was_off_for_a_month_heals_by_itself(expired: Running) -> None:
    """Its own certificate has ended, too."""
    identity = trust.server_identity()
    identity.file.unlink()
    with time_machine.travel(time.time() - 40 * DAY, tick=False):
        old = client.load(identity.file.parent, trust.ca())
    trust._current.clear()
    assert trust.server_identity().fingerprint != old.fingerprint
    services.probe(Host.objects.get())
    assert services.renew_due(10) == 1
    assert services.probe(Host.objects.get()).answered


def test_who_is_not_due_or_not_there_is_left_alone(run: Run, machine: Machine) -> None:
    meet(run(machine))
    now = timezone.now()
    Host.objects.update(certificate_expires_at=now + timedelta(days=10, hours=1))
    assert services.renew_due(10) == 0
    Host.objects.update(certificate_expires_at=now + timedelta(days=4), last_seen=now - timedelta(hours=1))
    assert services.renew_due(10) == 0
    Host.objects.update(last_seen=now)
    assert services.renew_due(10) == 1


def test_who_could_not_be_renewed_is_tried_again_after_a_while(
    run: Run, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    meet(run(machine))
    soon = timezone.now() + timedelta(days=1)
    Host.objects.update(certificate_expires_at=soon)
    with monkeypatch.context() as patch:
        patch.setattr(virshmanagerd.certificates, "now", lambda: timezone.now() - timedelta(days=2))
        assert services.renew_due(10) == 0
    assert services.renew_due(10) == 0
    Host.objects.update(renewal_tried_at=timezone.now() - timedelta(minutes=6))
    assert services.renew_due(10) == 1


class TestStreams:
    """Streams of a watcher, over a renewal of either side."""

    pytestmark = pytest.mark.django_db(transaction=True)

    async def test_they_stay_open_over_a_renewal_of_the_host_and_of_the_server(
        self, run: Run, machine: Machine, watcher: Watcher
    ) -> None:
        running = run(machine)
        await database_sync_to_async(meet)(running)
        async with by_one_stream(watcher, running):
            serial = shown_serial(running)
            assert await database_sync_to_async(services.renew)(await Host.objects.aget())
            assert shown_serial(running) != serial
            first = trust.server_identity()
            first.file.unlink()
            trust._current.clear()
            assert trust.server_identity().fingerprint != first.fingerprint
            assert await database_sync_to_async(services.probe)(await Host.objects.aget())
