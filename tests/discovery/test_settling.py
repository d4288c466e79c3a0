"""What an answer, a refusal and a silence make of an address."""

import ipaddress
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from discovery import services
from discovery.choices import Kind, Phase
from discovery.models import Address, Range
from discovery.networks import AddressSet, pack
from discovery.scanner import Sweep
from discovery.services.settling import Settlement
from discovery.services.targets import targets
from hosts.choices import Trust
from hosts.models import Host

pytestmark = pytest.mark.django_db
IP = "10.78.0.5"


class Bench:
    """A range, and sweeps of it that see what a test says."""

    def __init__(self, range_: Range) -> None:
        self.range = range_

    def sweep(
        self, *, closed: tuple[str, ...] = (), filtered: tuple[str, ...] = (), phase: str = "full"
    ) -> None:
        crawl = services.request_crawl(self.range, phase, here=True)
        asked = targets(self.range, phase, self.range.network)
        self.settlement = Settlement(crawl, asked)
        self.settlement.store_quiet(Sweep(frozenset(), numbers(closed), numbers(filtered), 0))
        services.cancel(crawl)

    def hypervisor(self, *, lives_at: str = IP, seconds_ago: float = 0) -> Host:
        host = Host.objects.create(
            uuid=uuid4(),
            address=lives_at,
            trust=Trust.OWNED,
            last_seen=timezone.now() - timedelta(seconds=seconds_ago),
        )
        self.row(Kind.HYPERVISOR, host=host)
        return host

    def row(self, kind: Kind, host: Host | None = None) -> None:
        packed = pack(ipaddress.ip_address(IP))
        Address.objects.create(range=self.range, ip=IP, packed=packed, kind=kind, host=host)

    @property
    def changes(self) -> tuple[int, int, int]:
        changes = self.settlement.changes
        return changes.appeared, changes.vanished, changes.changed


def numbers(ips: tuple[str, ...]) -> frozenset[int]:
    return frozenset(int(ipaddress.ip_address(ip)) for ip in ips)


def kind() -> str | None:
    return Address.objects.filter(ip=IP).values_list("kind", flat=True).first()


@pytest.fixture
def bench(make_range: Callable[..., Range]) -> Bench:
    return Bench(make_range("10.78.0.0/28", excluded=["10.78.0.15"]))


class TestSilence:
    def test_one_missed_answer_removes_nothing(self, bench: Bench) -> None:
        bench.row(Kind.OTHER)
        bench.sweep()
        assert kind() == Kind.OTHER
        assert bench.changes == (0, 0, 0)

    @pytest.mark.parametrize("kind_before", [Kind.OTHER, Kind.FOREIGN])
    def test_two_full_crawls_without_an_answer_drop_it(self, bench: Bench, kind_before: Kind) -> None:
        bench.row(kind_before)
        bench.sweep()
        bench.sweep()
        assert kind() is None
        assert bench.changes == (0, 1, 0)

    def test_an_answer_between_them_counts(self, bench: Bench) -> None:
        bench.row(Kind.OTHER)
        bench.sweep()
        bench.sweep(closed=(IP,))
        bench.sweep()
        assert kind() == Kind.OTHER

    def test_other_phases_do_not_count(self, bench: Bench) -> None:
        bench.row(Kind.OTHER)
        for phase in (Phase.RECHECK, Phase.NEW, Phase.RECHECK):
            bench.sweep(phase=phase)
        assert Address.objects.get().silent_crawls == 0

    def test_a_silent_hypervisor_whose_host_is_well_stays(self, bench: Bench) -> None:
        bench.hypervisor()
        for _ in range(3):
            bench.sweep()
        assert kind() == Kind.HYPERVISOR

    def test_an_offline_hypervisor_becomes_other_and_keeps_its_host(self, bench: Bench) -> None:
        host = bench.hypervisor(seconds_ago=121)
        bench.sweep()
        assert kind() == Kind.OTHER
        assert Address.objects.get().host == host
        assert bench.changes == (0, 0, 1)
        bench.sweep()
        assert kind() is None

    def test_an_address_that_its_host_left_becomes_other_without_it(self, bench: Bench) -> None:
        bench.hypervisor(lives_at="10.78.0.9")
        bench.sweep()
        assert kind() == Kind.OTHER
        assert Address.objects.get().host is None

    def test_what_was_not_asked_is_not_silent(self, bench: Bench) -> None:
        bench.row(Kind.OTHER)
        crawl = services.request_crawl(bench.range, Phase.FULL, here=True)
        for _ in range(2):
            elsewhere = AddressSet.of(ipaddress.ip_network("10.78.0.8/29"))
            Settlement(crawl, elsewhere).store_quiet(Sweep(frozenset(), frozenset(), frozenset(), 0))
        assert kind() == Kind.OTHER


class TestAnswers:
    def test_what_answers_from_outside_the_targets_is_ignored(self, bench: Bench) -> None:
        bench.sweep(closed=("10.78.0.15", "10.78.0.16", "192.0.2.1"))
        assert not Address.objects.exists()

    def test_newcomers_are_others(self, bench: Bench) -> None:
        bench.sweep(closed=(IP,), filtered=("10.78.0.6",))
        assert list(Address.objects.values_list("ip", "kind")) == [(IP, "other"), ("10.78.0.6", "other")]
        assert bench.changes == (2, 0, 0)

    def test_the_same_answer_again_only_shows_its_age(self, bench: Bench) -> None:
        bench.sweep(closed=(IP,))
        first = Address.objects.get()
        bench.sweep(closed=(IP,))
        again = Address.objects.get()
        assert again.last_seen > first.last_seen
        assert again.first_seen == first.first_seen
        assert bench.changes == (0, 0, 0)

    def test_a_refusal_is_proof_that_no_hypervisor_is_there(self, bench: Bench) -> None:
        bench.hypervisor()
        bench.sweep(closed=(IP,))
        assert kind() == Kind.OTHER
        assert bench.changes == (0, 0, 1)

    def test_a_mute_port_is_not(self, bench: Bench) -> None:
        bench.hypervisor()
        bench.sweep(filtered=(IP,))
        assert kind() == Kind.HYPERVISOR

    def test_a_stranger_that_left_makes_it_other(self, bench: Bench) -> None:
        bench.row(Kind.FOREIGN)
        bench.sweep(closed=(IP,), phase=Phase.RECHECK)
        assert kind() == Kind.OTHER
