"""Owned hosts that move, stop, are cloned and reset: the real Agent against real daemons."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from virshmanagerd import adoptcode, certificates, commands, linux

from hosts import services
from hosts.agent import agent_of
from hosts.choices import Trust
from hosts.errors import ProblemAnswer
from hosts.models import Host, HostAddress
from hosts.payloads import DomainFacts
from hosts.signals import listing_received

from .conftest import meet
from .machines import Machine, Running

Run = Callable[..., Running]
TEST_DOMAIN = UUID("6695eb01-f6a4-8304-79aa-97f2502e193f")


@pytest.fixture
def listings() -> Any:
    """What `domains` is told, in order."""
    told: list[tuple[Host, list[DomainFacts]]] = []

    def listen(sender: object, host: Host, domains: list[DomainFacts], **_: object) -> None:
        told.append((host, domains))

    listing_received.connect(listen)
    yield told
    listing_received.disconnect(listen)


def test_a_stopped_daemon_misses_probes(machine: Machine) -> None:
    with machine.run() as running:
        meet(running)
    host = Host.objects.get()
    before = host.last_seen
    for missed in (1, 2):
        outcome = services.probe(host)
        assert (outcome.answered, outcome.problem) == (False, "unreachable")
        host.refresh_from_db()
        assert (host.trust, host.missed_probes, host.last_seen) == (Trust.OWNED, missed, before)
    assert Host.objects.with_status().get().status == "stale"
    with machine.run(running.ip, running.port):
        assert services.probe(host).answered
    host = Host.objects.with_status().get()
    assert (host.missed_probes, host.problem, host.status) == (0, "", "online")


def test_a_host_outside_the_ranges_is_not_dialled(
    run: Run, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    meet(run(machine))
    monkeypatch.setattr("hosts.guards._guards", [])
    outcome = services.probe(Host.objects.get())
    assert (outcome.answered, outcome.problem) == (False, "outside_ranges")
    assert Host.objects.get().missed_probes == 0


def test_a_full_clone_is_a_duplicate_and_neither_is_used(
    run: Run, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with machine.run() as first:
        meet(first)
    clone = machine.copy(tmp_path / "clone")
    first, second = run(machine), run(clone, "127.0.0.2")
    boots = iter(["one", "two", "one", "two"] * 10)
    monkeypatch.setattr(linux, "boot_id", lambda: next(boots))
    Host.objects.update(port=first.port, boot_id="zero")
    met = meet(second)
    assert met.outcome == "duplicate_identity"
    assert "127.0.0.1" in met.reason
    assert "127.0.0.2" in met.reason
    host = Host.objects.get()
    assert (host.address, host.trust) == ("127.0.0.1", Trust.OWNED)
    assert not services.refresh(host).answered
    assert meet(first).outcome == "duplicate_identity"
    services.approve(host)
    assert services.probe(host).answered


def test_a_machine_that_was_copied_while_it_ran_is_told_apart_by_the_next_renewal(
    run: Run, machine: Machine, tmp_path: Path
) -> None:
    """Both have the boot of the original."""
    with machine.run() as first:
        meet(first)
    clone = machine.copy(tmp_path / "clone")
    first, second = run(machine, first.ip, first.port), run(clone, "127.0.0.2")
    assert meet(second).outcome == "owned"
    assert services.renew(Host.objects.get())
    assert meet(first).outcome == "owned"
    assert meet(second).outcome == "duplicate_identity"


def test_a_copy_that_was_reset_is_adopted_and_the_original_is_used_again(
    run: Run, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with machine.run() as first:
        meet(first)
    clone = machine.copy(tmp_path / "clone")
    first, second = run(machine, first.ip, first.port), run(clone, "127.0.0.2")
    boots = iter(["one", "two"])
    with monkeypatch.context() as patch:
        patch.setattr(linux, "boot_id", lambda: next(boots))
        assert meet(second).outcome == "duplicate_identity"
    before = second.daemon.identity.id
    assert any("new key" in line for line in commands.reset(second.daemon.config))
    second.daemon.poll()
    assert second.daemon.identity.id != before
    newcomer = meet(second)
    assert (newcomer.outcome, newcomer.host and newcomer.host.trust) == ("found", Trust.FOUND)
    host = Host.objects.get(uuid=before)
    assert host.problem == "duplicate_identity"
    services.approve(host)
    assert services.probe(host).answered
    assert newcomer.host is not None
    services.adopt(
        newcomer.host,
        adoptcode.make(second.daemon.config.state_dir, second.daemon.identity.key, certificates.now()),
    )
    assert {(each.address, each.trust, each.problem) for each in Host.objects.all()} == {
        ("127.0.0.1", Trust.OWNED, ""),
        ("127.0.0.2", Trust.OWNED, ""),
    }
    assert meet(first).outcome == meet(second).outcome == "owned"


@pytest.mark.parametrize("answers", [True, False])
def test_a_talk_that_was_under_way_does_not_lift_the_verdict_that_a_host_is_copied(
    run: Run, machine: Machine, *, answers: bool
) -> None:
    with machine.run() as running:
        meet(running)
        before = Host.objects.get()
        seen = before.last_seen
        Host.objects.update(problem="duplicate_identity", reason="Two machines.")
        if answers:
            services.refresh(before)
    if not answers:
        services.refresh(before)
    after = Host.objects.get()
    assert (after.problem, after.reason) == ("duplicate_identity", "Two machines.")
    assert (after.last_seen, after.missed_probes) == (seen, 0)


def test_an_unclaimed_copy_of_an_owned_host_does_not_take_it_over(
    run: Run, machine: Machine, tmp_path: Path, join: dict[str, Any]
) -> None:
    with machine.run() as first:
        meet(first)
    clone = machine.copy(tmp_path / "clone")
    clone.reset()
    clone.give_join_key(join)
    first = run(machine, first.ip, first.port)
    second = run(clone, "127.0.0.2")
    assert meet(second).outcome == "duplicate_identity"
    assert second.daemon.ownership.state == "unclaimed"
    assert Host.objects.get().trust == Trust.OWNED


def test_a_clone_with_another_machine_id_is_another_host(run: Run, machine: Machine, tmp_path: Path) -> None:
    with machine.run() as first:
        meet(first)
    clone = machine.copy(tmp_path / "clone")
    (clone.folder / "machine-id").write_text("f" * 32)
    second = run(clone)
    assert second.id != first.id
    assert meet(second).outcome == "found"
    assert Host.objects.get(uuid=first.id).trust == Trust.OWNED


def test_a_reset_host_lost_its_owner(machine: Machine, join: dict[str, Any]) -> None:
    with machine.run() as running:
        meet(running)
    machine.reset()
    with machine.run(running.ip, running.port):
        outcome = services.probe(Host.objects.get())
        assert outcome.problem == "ownership_lost"
        assert Host.objects.get().trust == Trust.FOUND
    # A file that was spent is not read again, so a new key is given.
    machine.give_join_key(services.create_join_key()[1])
    with machine.run(running.ip, running.port):
        assert services.probe(Host.objects.get()).answered
        assert Host.objects.get().trust == Trust.OWNED


def test_another_daemon_at_a_known_address_is_met(run: Run, machine: Machine, tmp_path: Path) -> None:
    with machine.run() as old:
        meet(old)
    newcomer = run(Machine(tmp_path / "hv-02"), old.ip, old.port)
    outcome = services.probe(Host.objects.get())
    assert not outcome.answered
    assert outcome.problem == "wrong_identity"
    assert outcome.met is not None
    assert outcome.met.host is not None
    assert outcome.met.host.uuid == newcomer.id
    assert Host.objects.get(uuid=old.id).missed_probes == 1
    assert HostAddress.objects.get().host == outcome.met.host


def test_a_host_that_moved_is_the_same_host(run: Run, machine: Machine) -> None:
    with machine.run() as old:
        meet(old)
    new = run(machine, "127.0.0.3")
    assert meet(new).outcome == "owned"
    host = Host.objects.get()
    assert (host.address, host.port, host.problem) == ("127.0.0.3", new.port, "")
    assert set(host.addresses.values_list("ip", flat=True)) == {"127.0.0.1", "127.0.0.3"}


def test_two_addresses_of_one_machine_are_one_host(run: Run, machine: Machine, tmp_path: Path) -> None:
    with machine.run() as running:
        meet(running)
    first, second = run(machine, running.ip, running.port), run(machine, "127.0.0.4")
    for met in (meet(second), meet(first), meet(second)):
        assert met.outcome == "owned"
        assert Host.objects.get().address == running.ip
    assert Host.objects.get().addresses.count() == 2


def test_the_listing_is_passed_on(run: Run, machine: Machine, listings: Any) -> None:
    running = run(machine)
    meet(running)
    ((host, domains),) = listings
    assert host.uuid == running.id
    assert [(domain["name"], domain["uuid"], domain["state"]) for domain in domains] == [
        ("test", TEST_DOMAIN, "running")
    ]
    services.refresh(host)
    assert len(listings) == 2


def test_libvirt_down_is_shown_and_the_last_listing_stays(run: Run, machine: Machine, listings: Any) -> None:
    with machine.run() as running:
        meet(running)
    machine.uri = "test:///nowhere/node.xml"
    run(machine, running.ip, running.port)
    outcome = services.probe(Host.objects.get())
    assert (outcome.answered, outcome.problem) == (True, "libvirt_down")
    host = Host.objects.get()
    assert (host.libvirt_alive, host.missed_probes) == (False, 0)
    assert len(listings) == 1


def test_every_call_of_the_agent(run: Run, machine: Machine) -> None:
    meet(run(machine))
    agent = agent_of(Host.objects.get())
    assert agent.host()["libvirt_uri"] == "test:///default"
    details = agent.domain(TEST_DOMAIN)
    assert details["name"] == "test"
    assert "<name>test</name>" in agent.xml(TEST_DOMAIN)
    assert agent.xml(TEST_DOMAIN, "inactive").startswith("<domain")
    assert agent.screenshot(TEST_DOMAIN).startswith(b"\x89PNG")
    with pytest.raises(ProblemAnswer) as caught:
        agent.domain(UUID(int=1))
    assert caught.value.problem == "no_such_domain"


def test_add_by_hand(run: Run, machine: Machine) -> None:
    running = run(machine)
    host = services.add_by_hand(running.ip, running.port)
    assert (host.uuid, host.trust) == (running.id, Trust.OWNED)
