"""Carrying crawls: real nmap on the loopback, and what is left when that goes wrong."""

import shutil
import threading
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.utils import timezone
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from discovery import services
from discovery.choices import CrawlState, Kind, Phase
from discovery.models import Address, Crawl, Range
from discovery.services import lease
from discovery.services.records import insert_others
from discovery.services.settling import Settlement
from tests.threads import together

from .conftest import Listen, is_alive, wait_until
from .test_scanner import VERSION, FakeNmap

MakeRange = Callable[..., Range]
NewConnections = Callable[[str], None]
NMAP = shutil.which("nmap")
HALVES = "127.0.64.0/18"

pytestmark = pytest.mark.django_db(transaction=True)


def crawl_here(range_: Range, phase: str = Phase.FULL) -> Crawl:
    return services.carry(services.request_crawl(range_, phase, here=True))


def storing() -> bool:
    return any(thread.name.startswith("store") for thread in threading.enumerate())


@pytest.fixture
def new_connections() -> Iterator[NewConnections]:
    """Run a statement on every database connection that is opened from now on."""
    receivers = []

    def prepare(statement: str) -> None:
        def receive(connection: BaseDatabaseWrapper, **_signal: object) -> None:
            with connection.cursor() as cursor:
                cursor.execute(statement)

        receivers.append(receive)
        connection_created.connect(receive)

    yield prepare
    for receive in receivers:
        connection_created.disconnect(receive)


class TestFailures:
    """Each is visible, and what was found before it stays."""

    def failing_second(self, tmp_path: Path, failure: str) -> str:
        return f'{VERSION}; if mkdir {tmp_path}/first 2>/dev/null; then exec {NMAP} "$@"; fi; {failure}'

    @pytest.mark.parametrize(
        ("failure", "problem"), [("kill -9 $$", "nmap_killed"), ("exit 0", "nmap_garbage")]
    )
    def test_nmap_fails_in_the_middle(
        self, make_range: MakeRange, fake_nmap: FakeNmap, tmp_path: Path, failure: str, problem: str
    ) -> None:
        fake_nmap(self.failing_second(tmp_path, failure))
        crawl = crawl_here(make_range(HALVES))
        assert crawl.state == CrawlState.FAILED
        assert crawl.problem["type"] == problem
        assert crawl.problem["detail"]
        assert Address.objects.count() == crawl.counts["others"] == 8192
        assert not crawl.chunks.exists()

    def test_the_next_crawl_is_not_blocked(
        self, make_range: MakeRange, fake_nmap: FakeNmap, tmp_path: Path
    ) -> None:
        fake_nmap(self.failing_second(tmp_path, "exit 1"))
        range_ = make_range(HALVES)
        assert crawl_here(range_).state == CrawlState.FAILED
        fake_nmap(f'exec {NMAP} "$@"')
        assert crawl_here(range_).state == CrawlState.SUCCEEDED
        assert Address.objects.count() == 16384

    @pytest.mark.skipif(connection.vendor != "sqlite", reason="a full disk is made by SQLite's own limit")
    def test_the_database_is_full(self, make_range: MakeRange, new_connections: NewConnections) -> None:
        new_connections("PRAGMA max_page_count = 1")  # no page more than there are now
        crawl = crawl_here(make_range(HALVES))
        assert crawl.state == CrawlState.FAILED
        assert crawl.problem["type"] == "database_unavailable"
        assert "full" in crawl.problem["detail"]

    @pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite locks the whole database")
    def test_the_database_is_locked(
        self, make_range: MakeRange, fake_nmap: FakeNmap, tmp_path: Path, new_connections: NewConnections
    ) -> None:
        fake_nmap(
            f"{VERSION}; touch {tmp_path}/runs;"
            f'while [ ! -e {tmp_path}/locked ]; do sleep 0.02; done; exec {NMAP} "$@"'
        )
        new_connections("PRAGMA busy_timeout = 200")
        crawl = services.request_crawl(make_range(), Phase.FULL, here=True)

        def lock() -> None:
            wait_until((tmp_path / "runs").exists, "nmap runs")
            with transaction.atomic():
                Crawl.objects.filter(pk=crawl.pk).update(done=0)
                (tmp_path / "locked").touch()
                wait_until(storing, "the answers are stored")
                wait_until(lambda: not storing(), "the store gives up")

        together(lock, lambda: services.carry(crawl))
        crawl.refresh_from_db()
        assert crawl.problem["type"] == "database_unavailable"
        assert "locked" in crawl.problem["detail"]

    def test_a_defect_of_ours_is_raised_and_does_not_block(
        self, make_range: MakeRange, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Settlement, "store_quiet", lambda *_: 1 / 0)
        range_ = make_range()
        with pytest.raises(ZeroDivisionError):
            crawl_here(range_)
        assert range_.crawls.get().problem["type"] == "internal_error"

    def test_a_range_that_is_deleted_ends_its_crawl(
        self, make_range: MakeRange, fake_nmap: FakeNmap, tmp_path: Path
    ) -> None:
        fake_nmap(f"{VERSION}; touch {tmp_path}/runs; exec sleep 600")
        range_ = make_range()
        crawl = services.request_crawl(range_, Phase.FULL, here=True)

        def delete() -> None:
            wait_until((tmp_path / "runs").exists, "nmap runs")
            range_.delete()

        together(delete, lambda: services.carry(crawl))
        assert crawl.state == CrawlState.CANCELLED


class TestEnds:
    """Somebody else ends the crawl, while nmap runs."""

    def carried(
        self, range_: Range, tmp_path: Path, end: Callable[[Crawl], object], **options: object
    ) -> Crawl:
        crawl = services.request_crawl(range_, Phase.FULL, here=True)

        def end_it() -> None:
            wait_until((tmp_path / "pid").exists, "nmap runs")
            end(crawl)

        together(end_it, lambda: services.carry(crawl, **options))  # type: ignore[arg-type]
        assert not is_alive(int((tmp_path / "pid").read_text()))
        crawl.refresh_from_db()
        return crawl

    @pytest.fixture(autouse=True)
    def hanging_nmap(self, fake_nmap: FakeNmap, tmp_path: Path) -> None:
        fake_nmap(
            f"{VERSION}; echo $$ > {tmp_path}/draft; mv {tmp_path}/draft {tmp_path}/pid; exec sleep 600"
        )

    def test_it_is_cancelled(self, make_range: MakeRange, tmp_path: Path) -> None:
        assert self.carried(make_range(), tmp_path, services.cancel).state == CrawlState.CANCELLED

    def test_its_range_is_switched_off(self, make_range: MakeRange, tmp_path: Path) -> None:
        range_ = make_range()
        ended = self.carried(range_, tmp_path, lambda _: services.update_range(range_, enabled=False))
        assert ended.state == CrawlState.CANCELLED

    def test_its_worker_stops(self, make_range: MakeRange, tmp_path: Path) -> None:
        stop = threading.Event()
        crawl = self.carried(make_range(), tmp_path, lambda _: stop.set(), stop=stop)
        assert crawl.state == CrawlState.FAILED
        assert crawl.problem["type"] == "worker_stopped"


class TestTogether:
    def test_two_carriers_share_one_crawl(self, make_range: MakeRange) -> None:
        crawl = services.request_crawl(make_range(HALVES), Phase.FULL, here=True)
        together(lambda: services.carry(crawl), lambda: services.carry(crawl))
        crawl.refresh_from_db()
        assert crawl.state == CrawlState.SUCCEEDED
        assert crawl.done == crawl.total == 16384
        assert crawl.changes == {"appeared": 16384, "vanished": 0, "changed": 0}
        assert crawl.counts == {"hypervisors": 0, "foreign": 0, "others": 16384, "silent": 0}

    def test_a_chunk_of_which_nothing_is_left_to_ask_loses_no_other(self, make_range: MakeRange) -> None:
        range_ = make_range(HALVES)
        crawl = services.request_crawl(range_, Phase.NEW, here=True)
        insert_others(range_.pk, IPv4Network("127.0.96.0/19"), timezone.now())
        assert services.carry(crawl).state == CrawlState.SUCCEEDED
        assert crawl.counts == {"hypervisors": 0, "foreign": 0, "others": 16384, "silent": 0}

    @pytest.mark.parametrize("redis_is_there", [True, False])
    def test_a_capped_range_has_one_nmap_at_a_time(
        self,
        make_range: MakeRange,
        fake_nmap: FakeNmap,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        *,
        redis_is_there: bool,
    ) -> None:
        gone = Redis(unix_socket_path=str(tmp_path / "none"), retry=Retry(NoBackoff(), 0))
        if not redis_is_there:
            monkeypatch.setattr(lease, "get_redis_connection", lambda: gone)
        alone = f'mkdir {tmp_path}/alone || touch {tmp_path}/two; {NMAP} "$@"; rmdir {tmp_path}/alone'
        fake_nmap(f"{VERSION}; {alone}")
        range_ = make_range(HALVES, max_rate=50_000)
        crawls = [services.request_crawl(range_, phase, here=True) for phase in (Phase.FULL, Phase.NEW)]
        together(*(lambda crawl=crawl: services.carry(crawl) for crawl in crawls))
        assert {crawl.state for crawl in range_.crawls.all()} == {CrawlState.SUCCEEDED}
        assert not (tmp_path / "two").exists()

    def test_a_lost_lease_ends_the_crawl(
        self, make_range: MakeRange, fake_nmap: FakeNmap, tmp_path: Path, redis_server: Redis
    ) -> None:
        fake_nmap(f"{VERSION}; touch {tmp_path}/runs; exec sleep 600")
        range_ = make_range(max_rate=100)
        crawl = services.request_crawl(range_, Phase.FULL, here=True)

        def take_lease() -> None:
            wait_until((tmp_path / "runs").exists, "nmap runs")
            assert redis_server.delete(f"virshmanager:discovery:rate:{range_.pk}")

        together(take_lease, lambda: services.carry(crawl))
        crawl.refresh_from_db()
        assert crawl.problem["type"] == "rate_unguarded"


class TestPhases:
    def test_they_leave_no_hole(self, make_range: MakeRange, listen: Listen) -> None:
        port = listen("127.0.77.3")
        range_ = make_range(port=port, excluded=["127.0.77.15"])
        full = crawl_here(range_)
        assert full.state == CrawlState.SUCCEEDED
        assert full.counts == {"hypervisors": 0, "foreign": 1, "others": 14, "silent": 0}
        assert full.changes == {"appeared": 15, "vanished": 0, "changed": 0}
        assert (full.done, full.total) == (15, 15)
        stranger = Address.objects.get(kind=Kind.FOREIGN)
        assert (stranger.ip, stranger.reason) == ("127.0.77.3", "too_slow")
        assert crawl_here(range_, Phase.NEW).total == 0
        assert crawl_here(range_, Phase.RECHECK).total == 15
        probe = crawl_here(range_, Phase.PROBE)
        assert (probe.state, probe.total, probe.packets_sent) == (CrawlState.SUCCEEDED, 0, 0)

    def test_an_excluded_address_gets_no_connection(self, make_range: MakeRange, listen: Listen) -> None:
        port = listen("127.0.77.3")
        crawl_here(make_range(port=port, excluded=["127.0.77.3"]))
        assert not Address.objects.filter(ip="127.0.77.3").exists()
