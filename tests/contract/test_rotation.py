"""The authority is followed by a new one, with real daemons: who moves, and who is left behind."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from channels.db import database_sync_to_async
from cryptography import x509
from django.core.management import CommandError, call_command
from django.utils import timezone
from virshmanagerd import adoptcode, certificates

from access.models import AuditEntry
from domains.watcher import Watcher
from hosts import services, trust
from hosts.agent import agent_of, hang_up
from hosts.errors import NotPossible, RejectedByHost
from hosts.models import Host, JoinKey
from hosts.trust import Rotation, SigningError, asking, rotating

from .conftest import by_one_stream, meet
from .machines import Machine, Running
from .test_renewal import let_expire

Run = Callable[..., Running]


def go_on() -> None:
    """What a worker does each minute, and each five minutes with each host."""
    Host.objects.update(renewal_tried_at=None)
    services.go_on_rotating(30)


def running_rotation() -> Rotation:
    found = trust.rotation()
    assert found is not None
    return found


def let_time_pass(**times: Any) -> None:
    """Change when the steps of the rotation were, or are due."""
    rotating.write(trust._folder(), dataclasses.replace(running_rotation(), **times))


def a_week_later() -> None:
    """The last server certificate of the old authority has ended."""
    let_time_pass(took_over_at=timezone.now() - timedelta(days=7, minutes=1))


def believed_by(running: Running) -> set[x509.Certificate]:
    return set(running.daemon.trust.authorities)


def shown_by(running: Running) -> x509.Certificate:
    owner = running.daemon.ownership.owner
    assert owner is not None
    return x509.load_pem_x509_certificate(owner.certificate.encode())


def status(*arguments: str) -> str:
    told = StringIO()
    call_command("ca", *(arguments or ("status",)), stdout=told)
    return told.getvalue()


@pytest.fixture
def owned(run: Run, machine: Machine) -> Running:
    running = run(machine)
    meet(running)
    return running


@pytest.fixture
def away(machine: Machine) -> Running:
    """A machine that was owned, and is switched off."""
    with machine.run() as running:
        meet(running)
    hang_up(Host.objects.get())
    return running


def test_one_authority_is_followed_at_a_time() -> None:
    services.rotate()
    before = running_rotation()
    with pytest.raises(NotPossible) as caught:
        services.rotate()
    assert caught.value.problem == "rotating"
    with pytest.raises(CommandError, match="already"):
        status("rotate")
    assert running_rotation() == before


@pytest.mark.parametrize("days", ["0", "-1", "400", "nan"])
def test_an_overlap_that_cannot_be(days: str) -> None:
    with pytest.raises(CommandError, match="from 1 hour"):
        status("rotate", f"--overlap={days}")
    assert trust.rotation() is None


def test_without_a_signer_nothing_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    trust.ca()

    def gone(*_: object) -> bytes:
        raise OSError("gone")

    monkeypatch.setattr(asking, "exchange", gone)
    with pytest.raises(SigningError):
        services.rotate()
    assert trust.rotation() is None


def test_who_was_never_followed_says_so() -> None:
    assert "never" in status()


def test_it_works(run: Run, owned: Running, join: dict[str, Any], tmp_path: Path) -> None:
    """Spread, taken over, moved, and the old authority gone from server and host."""
    old, first = trust.ca(), trust.server_identity()
    assert "0 of 1 hosts believe it" in status("rotate")
    go_on()
    new = running_rotation().new
    assert believed_by(owned) == {old.certificate, new}
    assert trust.ca().certificate == new
    assert services.probe(Host.objects.get()).answered
    assert "0 of 1 hosts have its certificate" in status()
    go_on()
    assert trust.ca().issued(shown_by(owned))
    assert trust.ca().issued(trust.server_identity().certificate)
    assert trust.server_identity().server_id == first.server_id
    go_on()
    assert running_rotation().stage == "moving"
    assert believed_by(owned) == {old.certificate, new}
    a_week_later()
    go_on()
    go_on()
    assert believed_by(owned) == {new}
    assert services.probe(Host.objects.get()).answered
    assert not trust.ca().believes(first.certificate)
    assert "taken out of 1 of 1 hosts" in status()
    services.rotate()
    assert running_rotation().old == new
    deeds = AuditEntry.objects.filter(target_type="authority").order_by("pk")
    steps = ["authority.rotate", "authority.take_over", "authority.leave", "authority.rotate"]
    assert list(deeds.values_list("action", flat=True)) == steps


def test_whoever_has_a_certificate_of_the_old_authority_is_heard_no_more(
    owned: Running, tmp_path: Path
) -> None:
    thief = trust.server_identity()
    stolen = dataclasses.replace(thief, file=tmp_path / "stolen.pem")
    stolen.file.write_bytes(thief.file.read_bytes())
    services.rotate()
    for _ in range(2):
        go_on()
    a_week_later()
    for _ in range(2):
        go_on()
    host = Host.objects.get()
    with pytest.MonkeyPatch.context() as patch:
        believing = dataclasses.replace(
            stolen, authority=dataclasses.replace(stolen.authority, others=(trust.ca().certificate,))
        )
        patch.setattr(trust, "server_identity", lambda: believing)
        with pytest.raises(RejectedByHost):
            agent_of(host, insist=True).host()
    assert agent_of(host, insist=True).host()["uuid"] == host.uuid


def test_a_stolen_key_is_worth_nothing_as_soon_as_all_have_moved(owned: Running) -> None:
    status("rotate", "--stolen")
    for _ in range(3):
        go_on()
    assert believed_by(owned) == {trust.ca().certificate}
    assert services.probe(Host.objects.get()).answered


def test_hosts_are_enrolled_at_every_stage(run: Run, owned: Running, tmp_path: Path) -> None:
    def adopt(name: str) -> Running:
        running = run(Machine(tmp_path / name))
        met = meet(running)
        assert met.host is not None
        daemon = running.daemon
        services.adopt(
            met.host, adoptcode.make(daemon.config.state_dir, daemon.identity.key, certificates.now())
        )
        return running

    services.rotate()
    spreading = adopt("spreading")
    go_on()
    assert trust.ca().certificate in believed_by(spreading)
    moving = adopt("moving")
    go_on()
    assert all(trust.ca().issued(shown_by(each)) for each in (owned, spreading, moving))
    a_week_later()
    for _ in range(2):
        go_on()
    assert all(believed_by(each) == {trust.ca().certificate} for each in (owned, spreading, moving))
    assert all(services.probe(host).answered for host in Host.objects.all())


def test_join_keys_of_the_old_authority_end_when_the_new_one_takes_over(owned: Running) -> None:
    key, _ = services.create_join_key()
    assert "2 usable join keys" in status("rotate")
    for _ in range(2):
        go_on()
    key.refresh_from_db()
    assert key.state == "revoked"
    _, join = services.create_join_key()
    assert join["ca"] == trust.ca().pem
    assert JoinKey.objects.usable().count() == 1


def test_who_is_away_is_named_and_waited_for(run: Run, machine: Machine, away: Running) -> None:
    old = trust.ca().certificate
    services.rotate()
    go_on()
    assert trust.ca().certificate == old
    assert "behind: hv-01 (127.0.0.1)" in status()
    back = run(machine, away.ip, away.port)
    for _ in range(2):
        go_on()
    assert trust.ca().issued(shown_by(back))
    assert "behind" not in status()


def test_who_comes_back_with_an_expired_certificate_is_renewed_and_brought_along(
    run: Run, machine: Machine, away: Running
) -> None:
    let_expire(machine)
    services.rotate()
    back = run(machine, away.ip, away.port)
    go_on()
    assert trust.ca().certificate == running_rotation().new
    go_on()
    assert trust.ca().issued(shown_by(back))


def test_who_is_away_until_the_old_authority_has_left_is_recovered_when_it_knew_the_new_one(
    run: Run, machine: Machine
) -> None:
    with machine.run() as running:
        meet(running)
        services.rotate()
        go_on()
    hang_up(Host.objects.get())
    a_week_later()
    let_time_pass(take_over_by=timezone.now() - timedelta(days=1))
    go_on()
    assert running_rotation().stage == "left"
    back = run(machine, running.ip, running.port)
    assert services.probe(Host.objects.get()).problem == "wrong_identity"
    go_on()
    assert trust.ca().issued(shown_by(back))
    assert believed_by(back) == {trust.ca().certificate}
    assert services.probe(Host.objects.get()).answered


def test_who_never_heard_of_the_new_authority_is_named_and_needs_a_reset(
    run: Run, machine: Machine, away: Running
) -> None:
    services.rotate()
    let_time_pass(take_over_by=timezone.now() - timedelta(seconds=1))
    go_on()
    back = run(machine, away.ip, away.port)
    assert services.probe(Host.objects.get()).problem == "owned_by_another"
    go_on()
    assert not trust.ca().issued(shown_by(back))
    assert believed_by(back) == {running_rotation().old}
    (line,) = [line for line in status().splitlines() if "behind: hv-01 (127.0.0.1)" in line]
    assert "virshmanagerd reset" in line


def test_a_take_over_that_was_cut_is_completed(owned: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    services.rotate()
    old = trust.ca()
    with monkeypatch.context() as patch:
        patch.setattr("hosts.trust.files.replace", _cut)
        with pytest.raises(OSError, match="cut"):
            go_on()
    assert trust.ca().certificate == old.certificate
    assert services.probe(Host.objects.get()).answered
    go_on()
    assert trust.ca().certificate == running_rotation().new
    go_on()
    assert trust.ca().issued(shown_by(owned))


def _cut(path: Path, content: bytes) -> None:
    """The disk is lost just before `ca.pem` is written."""
    if path.name == "ca.pem":
        raise OSError("cut")
    path.write_bytes(content)


class TestStreams:
    """The stream of a watcher, over the whole change."""

    pytestmark = pytest.mark.django_db(transaction=True)

    async def test_it_stays_open(self, run: Run, machine: Machine, watcher: Watcher) -> None:
        running = run(machine)
        await database_sync_to_async(meet)(running)
        async with by_one_stream(watcher, running):
            await database_sync_to_async(services.rotate)()
            for _ in range(3):
                await database_sync_to_async(go_on)()
            assert trust.ca().issued(shown_by(running))
            assert await database_sync_to_async(services.probe)(await Host.objects.aget())
