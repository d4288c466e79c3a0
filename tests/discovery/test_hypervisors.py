"""Crawls that meet real daemons: enrolled by join key, probed, moved, gone, returned."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from discovery import services
from discovery.choices import CrawlState, Kind, Phase
from discovery.models import Address, Crawl, Range
from hosts.choices import Trust
from hosts.models import Host
from hosts.services import create_join_key
from tests.simulator.playing import simulation

MakeRange = Callable[..., Range]
HERE, THERE = "127.0.78.0/28", "127.0.78.16/28"
BOTH = "127.0.78.0/27"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def joining(home: Path, tmp_path: Path) -> tuple[str, ...]:
    """Arguments of a simulator whose two hosts join this server."""
    _key, join = create_join_key(label="tests")
    file = tmp_path / "join.json"
    file.write_text(json.dumps(join))
    file.chmod(0o600)
    return ("--hosts", "2", "--foreign", "1", "--join-file", str(file))


def kinds() -> dict[str, str]:
    rows = Address.objects.exclude(kind=Kind.OTHER).order_by("packed")
    return {ip.rpartition(".")[2]: kind for ip, kind in rows.values_list("ip", "kind")}


def crawl(range_: Range, phase: str, port: int) -> Crawl:
    ended = services.carry(services.request_crawl(range_, phase, port=port, here=True))
    assert ended.state == CrawlState.SUCCEEDED, ended.problem
    return ended


def test_found_owned_and_listed_then_probed(
    make_range: MakeRange, joining: tuple[str, ...], tmp_path: Path
) -> None:
    with simulation(tmp_path / "sim", *joining) as simulated:
        range_ = make_range(HERE, port=simulated.port)
        full = crawl(range_, Phase.FULL, simulated.port)
        assert full.counts == {"hypervisors": 2, "foreign": 1, "others": 13, "silent": 0}
        assert kinds() == {"1": "hypervisor", "2": "hypervisor", "3": "foreign"}
        assert set(Host.objects.values_list("trust", flat=True)) == {Trust.OWNED}
        before = timezone.now()
        probe = crawl(range_, Phase.PROBE, simulated.port)
        assert (probe.done, probe.total, probe.packets_sent) == (2, 2, 0)
        assert Host.objects.filter(last_seen__gt=before).count() == 2
        assert crawl(range_, Phase.RECHECK, simulated.port).total == 14


def test_a_host_that_went_offline_and_returned(
    make_range: MakeRange, joining: tuple[str, ...], tmp_path: Path
) -> None:
    with simulation(tmp_path / "sim", *joining) as simulated:
        port = simulated.port
        range_ = make_range(HERE, port=port)
        crawl(range_, Phase.FULL, port)
    crawl(range_, Phase.PROBE, port)
    assert kinds()["1"] == Kind.HYPERVISOR, "one missed answer takes nothing away"
    Host.objects.update(last_seen=timezone.now() - timedelta(minutes=3))
    crawl(range_, Phase.PROBE, port)
    assert "1" not in kinds()
    assert Address.objects.get(ip="127.0.78.1").host
    with simulation(tmp_path / "sim", *joining, "--port", str(port)):
        crawl(range_, Phase.PROBE, port)
        assert kinds()["1"] == kinds()["2"] == Kind.HYPERVISOR
        assert Host.objects.count() == 2


def test_a_host_that_moved_is_the_same_host(
    make_range: MakeRange, joining: tuple[str, ...], tmp_path: Path
) -> None:
    with simulation(tmp_path / "sim", *joining) as simulated:
        port = simulated.port
        range_ = make_range(BOTH, port=port)
        crawl(range_, Phase.FULL, port)
    with simulation(tmp_path / "sim", *joining, "--port", str(port), network=THERE):
        crawl(range_, Phase.RECHECK, port)
        assert set(Host.objects.values_list("address", flat=True)) == {"127.0.78.17", "127.0.78.18"}
        crawl(range_, Phase.PROBE, port)
        assert kinds() == {"17": "hypervisor", "18": "hypervisor", "19": "foreign"}
        assert Address.objects.get(ip="127.0.78.1").host is None
    assert Host.objects.count() == 2
