"""The life of a crawl: one at a time, ended by exactly one, never in the way of the next."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from discovery import services
from discovery.choices import ChunkState, CrawlState, Phase
from discovery.errors import CrawlRunning
from discovery.models import Crawl, Range
from discovery.services import crawls, schedule
from tests.threads import together

MakeRange = Callable[..., Range]

pytestmark = pytest.mark.django_db


def age(crawl: Crawl, seconds: float) -> None:
    Crawl.objects.filter(pk=crawl.pk).update(beat_at=timezone.now() - timedelta(seconds=seconds))


def test_a_phase_that_runs_is_refused_and_named(make_range: MakeRange) -> None:
    range_ = make_range()
    crawl = services.request_crawl(range_, Phase.FULL, here=True)
    with pytest.raises(CrawlRunning) as refused:
        services.request_crawl(range_, Phase.FULL)
    assert refused.value.crawl == crawl.pk
    assert refused.value.more == {"crawl": crawl.pk}
    assert services.request_crawl(range_, Phase.NEW, here=True).state == CrawlState.RUNNING


@pytest.mark.parametrize(
    ("here", "seconds", "problem"), [(True, 16, "process_lost"), (False, 61, "not_picked_up")]
)
def test_a_dead_crawl_is_failed_by_whoever_looks_next_and_does_not_block(
    make_range: MakeRange, *, here: bool, seconds: float, problem: str
) -> None:
    range_ = make_range()
    dead = services.request_crawl(range_, Phase.FULL, here=here)
    age(dead, seconds - 3)
    assert services.reap() == 0
    age(dead, seconds)
    following = services.request_crawl(range_, Phase.FULL, here=True)
    dead.refresh_from_db()
    assert dead.state == CrawlState.FAILED
    assert dead.problem["type"] == problem
    assert dead.finished_at
    assert not dead.chunks.exists()
    assert following.state == CrawlState.RUNNING


def test_exactly_one_ends_a_crawl(make_range: MakeRange) -> None:
    crawl = services.request_crawl(make_range(), Phase.FULL, here=True)
    assert services.cancel(crawl)
    assert not services.cancel(crawl)
    assert not crawls.fail(crawl, "internal_error", "too late")
    assert not services.beat(crawl)
    crawl.refresh_from_db()
    assert crawl.state == CrawlState.CANCELLED
    assert crawl.problem is None


def test_a_crawl_with_chunks_left_is_not_finished(make_range: MakeRange) -> None:
    crawl = services.request_crawl(make_range("10.78.0.0/18"), Phase.FULL, here=True)
    first, second = crawls.claim_chunk(crawl), crawls.claim_chunk(crawl)
    assert first
    assert second
    assert first != second
    assert crawls.claim_chunk(crawl) is None
    crawls.finish(crawl)
    crawl.refresh_from_db()
    assert crawl.state == CrawlState.RUNNING
    crawl.chunks.update(state=ChunkState.DONE)
    crawls.finish(crawl)
    crawl.refresh_from_db()
    assert crawl.state == CrawlState.SUCCEEDED


@pytest.mark.django_db(transaction=True)
def test_a_chunk_is_claimed_once_by_many(make_range: MakeRange) -> None:
    crawl = services.request_crawl(make_range("10.78.0.0/16"), Phase.FULL, here=True)
    claimed: list[int] = []

    def claim() -> None:
        while chunk := crawls.claim_chunk(crawl):
            claimed.append(chunk.pk)

    together(*[claim] * 4)
    assert len(claimed) == len(set(claimed)) == 8


def test_old_crawls_do_not_fill_the_disk(make_range: MakeRange) -> None:
    range_ = make_range()
    for _ in range(25):
        services.cancel(services.request_crawl(range_, Phase.PROBE, here=True))
        services.cancel(services.request_crawl(range_, Phase.NEW, here=True))
    assert range_.crawls.filter(phase=Phase.PROBE).count() == 20
    assert range_.crawls.filter(phase=Phase.NEW).count() == 25


def test_the_range_gives_port_and_rate_unless_this_run_says_otherwise(make_range: MakeRange) -> None:
    range_ = make_range(port=1234, max_rate=100)
    crawl = services.request_crawl(range_, Phase.FULL, here=True)
    assert (crawl.port, crawl.max_rate) == (1234, 100)
    crawl = services.request_crawl(range_, Phase.NEW, port=4321, max_rate=None, here=True)
    assert (crawl.port, crawl.max_rate) == (4321, None)


class TestSchedule:
    PERIODS = {"full": 86400, "new": 1800, "recheck": None, "probe": 15}

    def due(self, seconds: float) -> set[str]:
        now = Range.objects.get().created_at + timedelta(seconds=seconds)
        return {str(crawl.phase) for crawl in services.request_due(now)}

    def test_nothing_is_scanned_unasked(self, make_range: MakeRange) -> None:
        make_range(schedule=self.PERIODS, enabled=False)
        assert self.due(10**7) == set()

    def test_each_phase_first_runs_one_period_after_the_range_was_made(self, make_range: MakeRange) -> None:
        make_range(schedule=self.PERIODS)
        assert self.due(14) == set()
        assert self.due(15) == {"probe"}
        assert self.due(1799) == set()  # the probe still runs
        assert self.due(1801 * (1 + schedule.JITTER)) == {"new"}
        assert self.due(86401 * (1 + schedule.JITTER)) == {"full"}

    def test_then_it_runs_one_period_after_it_was_last_asked_for(self, make_range: MakeRange) -> None:
        range_ = make_range(schedule=self.PERIODS)
        for expected in (15, 30):
            (probe,) = services.request_due(range_.created_at + timedelta(seconds=expected))
            services.cancel(probe)
            Crawl.objects.filter(pk=probe.pk).update(
                created_at=range_.created_at + timedelta(seconds=expected)
            )
            assert self.due(expected + 14) == set()

    def test_ranges_made_together_drift_apart(self, make_range: MakeRange) -> None:
        one, other = make_range("10.78.0.0/24"), make_range("10.78.1.0/24")
        for range_ in (one, other):
            range_.schedule, range_.created_at = self.PERIODS, timezone.now()
        now = one.created_at
        assert schedule.due_at(one, "full", now) != schedule.due_at(other, "full", now)
        for phase, period in self.PERIODS.items():
            due = schedule.due_at(one, phase, now)
            if period is None:
                assert due is None
            else:
                assert due
                assert period <= (due - now).total_seconds() <= period * 1.1
