"""The roll-up of the rings into history, and what remains of it."""

import math
from datetime import timedelta
from unittest.mock import Mock

import pytest
from django.db.models import F, Max
from pytest_django import DjangoAssertNumQueries
from redis import Redis
from redis.exceptions import ConnectionError as NotThere

from domains import rings, tasks
from domains.choices import Kind
from domains.models import Domain, History
from domains.services import Window, measured, record_stats, roll_up
from domains.services.history import Line

from .factories import domain
from .measuring import SECOND, Clock, measure, message, stats

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("rings_redis")]

HOUR, DAY = 3600, 86400


@pytest.fixture
def row() -> Domain:
    return domain(state="running")


def line(row: Domain, clock: Clock, seconds: int, step: int | None = None) -> Line:
    return measured(Kind.DOMAIN, row.pk, row.host_id, Window(clock.now - seconds, clock.now, step))


def cpu(told: Line) -> list[float]:
    return [point.values[0] for point in told.points]


def minutes() -> int:
    return History.objects.filter(kind=Kind.DOMAIN, seconds=300).count()


def hours() -> int:
    return History.objects.filter(kind=Kind.DOMAIN, seconds=HOUR).count()


def test_nothing_measured_is_nothing_written() -> None:
    domain()
    roll_up()
    assert not History.objects.exists()


def test_without_redis_the_next_minute_tries_again(row: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rings, "get_redis_connection", Mock(side_effect=NotThere))
    tasks.roll_up()
    assert not History.objects.exists()


def test_what_ended_is_written_once(row: Domain, clock: Clock) -> None:
    measure(clock, row.host, [row], seconds=600)
    roll_up()
    assert minutes() == 1  # the second ended just now: it settles
    clock.move(10)
    for _ in range(3):
        roll_up()
    assert minutes() == 2
    assert History.objects.filter(kind=Kind.HOST, seconds=300).count() == 2
    assert not hours()


def test_another_worker_may_have_written_the_same(row: Domain, clock: Clock) -> None:
    measure(clock, row.host, [row], seconds=600)
    clock.move(10)
    roll_up()
    before = list(History.objects.order_by("pk").values())
    History.objects.filter(start=History.objects.aggregate(last=Max("start"))["last"]).delete()
    roll_up()
    assert [dict(told, id=0) for told in History.objects.order_by("start", "kind").values()] == sorted(
        (dict(told, id=0) for told in before), key=lambda told: (told["start"], told["kind"])
    )


def test_after_a_pause_it_catches_up_as_far_as_the_rings_reach(row: Domain, clock: Clock) -> None:
    measure(clock, row.host, [row], seconds=2 * HOUR)
    clock.move(10)
    roll_up()
    assert minutes() == 11
    assert hours() == 1


def test_hours_are_means_of_minutes(row: Domain, clock: Clock) -> None:
    for _ in range(13):
        measure(clock, row.host, [row], seconds=300)
        clock.move(10)
        roll_up()
        clock.move(-10)
    assert (minutes(), hours()) == (13, 1)
    told = measured(Kind.DOMAIN, row.pk, row.host_id, Window(clock.now - 20 * DAY, clock.now))
    assert told.step == HOUR
    for value in cpu(told):
        assert value == pytest.approx(50, abs=0.02)


def test_history_outlives_redis(row: Domain, clock: Clock, rings_redis: Redis) -> None:
    measure(clock, row.host, [row], seconds=1800)
    clock.move(10)
    roll_up()
    rings_redis.flushdb()
    told = line(row, clock, HOUR)
    assert len(told.points) == 6
    assert told.points[0].values[1] == pytest.approx(2**29, rel=0.001)
    measure(clock, row.host, [row], seconds=300)
    merged = line(row, clock, HOUR)
    assert len(merged.points) == 6 + 10
    assert math.isnan(cpu(merged)[6])  # the first one after


def test_each_range_has_its_resolution(row: Domain, clock: Clock) -> None:
    measure(clock, row.host, [row], seconds=1800)
    measure(clock, row.host, [row], seconds=300, period=2)
    clock.move(10)
    roll_up()
    steps = {seconds: line(row, clock, seconds).step for seconds in (300, HOUR, DAY, 30 * DAY)}
    assert steps == {300: 2, HOUR: 30, DAY: 300, 30 * DAY: HOUR}
    assert len(line(row, clock, 300).points) == pytest.approx(145, abs=3)
    assert len(line(row, clock, HOUR).points) == pytest.approx(70, abs=3)
    assert len(line(row, clock, DAY).points) == pytest.approx(8, abs=1)
    for seconds in steps:
        told = line(row, clock, seconds)
        assert clock.now - seconds < told.points[0].at
        assert told.points[-1].at <= clock.now
        assert told.points == sorted(told.points, key=lambda point: point.at)
        assert all(value == pytest.approx(50, abs=0.02) for value in cpu(told)[1:]), seconds


def test_a_gap_has_a_point_without_numbers(row: Domain, clock: Clock) -> None:
    measure(clock, row.host, [row], seconds=300)
    clock.move(600)
    measure(clock, row.host, [row], seconds=60)
    told = line(row, clock, HOUR)
    gaps = [point.at for point in told.points if all(map(math.isnan, point.values))]
    assert len(gaps) == 1
    assert told.points[10].at == gaps[0]


def test_a_wider_step_has_means_and_the_highest(row: Domain, clock: Clock) -> None:
    measure(clock, row.host, [row], seconds=1800)
    told = line(row, clock, HOUR, step=600)
    assert len(told.points) == 3
    assert told.points[1].values == (50.0, 2.0**29, 1000.0, 2000.0, 10.0, 20.0, 300.0, 400.0, 50.0)


def be_busy(clock: Clock, row: Domain, *phases: tuple[int, int]) -> None:
    """Let a domain be so busy, in per cent, for so many minutes, phase after phase; roll up as ever."""
    counted = 0
    for minutes, per_cent in phases:
        for _ in range(2 * minutes):
            clock.move(30)
            counted += 30 * 2 * SECOND * per_cent // 100
            record_stats(row.host, message(clock.now, [stats(row, clock.now, cpu_time_ns=counted)]))
        clock.move(10)
        roll_up()
        clock.move(-10)


def test_a_mean_is_of_times_and_not_of_points(row: Domain, clock: Clock) -> None:
    be_busy(clock, row, (30, 100), (60, 0))
    told = line(row, clock, 30 * DAY)
    assert told.points[0].period == 300  # in the same hour as many points of 30 seconds
    assert cpu(told)[0] == pytest.approx(50, abs=2)


def test_an_hour_of_which_few_minutes_are_left_stays_an_hour(
    row: Domain, clock: Clock, rings_redis: Redis
) -> None:
    be_busy(clock, row, (55, 100), (5, 0))
    clock.move(DAY)
    rings_redis.flushdb()
    roll_up()
    assert minutes() == 1
    assert cpu(line(row, clock, 30 * DAY)) == [pytest.approx(100 * 55 / 60, abs=2)]


def test_five_minutes_of_which_some_seconds_are_left_stay_five_minutes(row: Domain, clock: Clock) -> None:
    be_busy(clock, row, (4, 100), (1, 0), (59, 50))
    told = line(row, clock, DAY)
    assert cpu(told)[0] == pytest.approx(100 * 7 / 9, abs=1)  # the first sample has none before it


def test_what_is_old_goes(row: Domain, clock: Clock) -> None:
    measure(clock, row.host, [row], seconds=3900)
    clock.move(10)
    roll_up()
    assert (minutes(), hours()) == (11, 1)
    clock.move(DAY + 2 * HOUR)
    roll_up()
    assert (minutes(), hours()) == (0, 2)  # the hour that had begun was rolled up before
    clock.move(30 * DAY)
    roll_up()
    assert not History.objects.exists()


def test_a_clock_that_was_ahead_does_not_stop_the_roll_up(row: Domain, clock: Clock) -> None:
    measure(clock, row.host, [row], seconds=600)
    clock.move(10)
    roll_up()
    History.objects.update(start=F("start") + timedelta(days=300))
    written = minutes()
    clock.move(-10)
    measure(clock, row.host, [row], seconds=300)
    clock.move(10)
    roll_up()
    assert minutes() > written


def test_many_domains_take_few_rows(
    clock: Clock, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    first = domain()
    rows = [first, *(domain(first.host) for _ in range(70))]
    measure(clock, first.host, rows, seconds=300)
    clock.move(10)
    with django_assert_max_num_queries(20):
        roll_up()
    blocks = History.objects.filter(kind=Kind.DOMAIN)
    assert 3 <= blocks.count() <= 4
    assert sum(len(block.points) for block in blocks) == 19 * len(rows)


@pytest.mark.parametrize(("seconds", "most"), [(300, 0), (HOUR, 1), (DAY, 2), (30 * DAY, 2)])
def test_reading_costs_a_fixed_number_of_queries(
    row: Domain, clock: Clock, seconds: int, most: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    measure(clock, row.host, [row], seconds=HOUR)
    clock.move(10)
    roll_up()
    with django_assert_num_queries(most):
        line(row, clock, seconds)
