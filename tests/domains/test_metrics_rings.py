"""What a daemon measures comes into the rings; a hostile one first."""

import math
from itertools import pairwise
from typing import Any
from unittest.mock import Mock

import pytest
from pytest_django import DjangoAssertNumQueries
from redis import Redis
from redis.exceptions import ConnectionError as NotThere

from domains import rings
from domains.choices import Kind
from domains.models import Domain
from domains.rings import COARSE, FINE, PREFIX, Ring
from domains.services import look, record_stats, sparklines, stats_period
from hosts.errors import BadPayload

from .factories import domain
from .measuring import Clock, measure, message, stats

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("rings_redis")]

Values = tuple[float, ...]
RATES = (50.0, 2.0**29, 1000.0, 2000.0, 10.0, 20.0, 300.0, 400.0)


@pytest.fixture
def row() -> Domain:
    return domain(state="running")


def ring(row: Domain, ring: Ring = COARSE) -> list[Values]:
    return [point.values for point in rings.read(ring, Kind.DOMAIN, [row.pk])[row.pk]]


def is_gap(values: Values) -> bool:
    return all(math.isnan(value) for value in (values[0], *values[2:]))


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        "stats",
        {},
        {"at": 1},
        {"at": "1", "domains": []},
        {"at": True, "domains": []},
        {"at": -1, "domains": []},
        {"at": math.nan, "domains": []},
        {"at": math.inf, "domains": []},
        {"at": 1e308, "domains": []},
        {"at": 10**400, "domains": []},
        {"at": 1, "domains": {}},
        {"at": 1, "domains": [1]},
        {"at": 1, "domains": [{}]},
        {"at": 1, "domains": [{"uuid": 5}]},
        {"at": 1, "domains": [{"uuid": None}]},
        {"at": 1, "domains": [{"uuid": str(number)} for number in range(10_001)]},
    ],
)
def test_a_message_that_cannot_be_is_refused(row: Domain, told: object) -> None:
    with pytest.raises(BadPayload):
        record_stats(row.host, told)
    assert not ring(row)


@pytest.mark.parametrize(
    "value", [None, "1", -1, -(2**70), 2**63, 1.5, math.nan, math.inf, 1e308, True, [], {}, 10**400]
)
def test_a_number_that_cannot_be_is_a_gap(row: Domain, clock: Clock, value: Any) -> None:
    names = stats(row)
    worse = {name: value for name in names if name != "uuid"}
    for told in (
        worse,
        worse | {"block": dict.fromkeys(names["block"], value), "net": dict.fromkeys(names["net"], value)},
    ):
        measure(clock, row.host, [row], seconds=30)
        clock.move(30)
        record_stats(
            row.host,
            message(
                clock.now,
                [stats(row, clock.now, **told)],
                cpu_time_ns=value,
                cpus=value,
                memory=value,
                memory_free=value,
                load=value,
            ),
        )
        values = ring(row)[-1]
        assert all(math.isnan(number) for number in values), values
        assert len(rings.read(COARSE, Kind.HOST, [row.host.pk])[row.host.pk]) > 0


@pytest.mark.parametrize("load", [[], [1], ["1", None, math.nan], [1e9] * 3, list(range(100))])
def test_a_load_that_cannot_be(row: Domain, clock: Clock, load: list[Any]) -> None:
    record_stats(row.host, message(clock.now, load=load))
    (point,) = rings.read(COARSE, Kind.HOST, [row.host.pk])[row.host.pk]
    assert all(math.isnan(value) or 0 <= value < 1e6 for value in point.values[2:])


def test_domains_that_the_mirror_does_not_know_leave_nothing(
    row: Domain, clock: Clock, rings_redis: Redis
) -> None:
    elsewhere = domain()
    strangers = [
        {"uuid": text}
        for text in ("", "x" * 100_000, "\x00", str(row.uuid).upper(), "ffffffff-ffff-ffff-ffff-ffffffffffff")
    ]
    told = [*strangers, stats(elsewhere), stats(row)]
    assert record_stats(row.host, message(clock.now, told)) == 1
    assert not ring(elsewhere)
    assert len(list(rings_redis.scan_iter(f"{PREFIX}:*:domain:*"))) == 1


def test_a_daemon_that_talks_without_a_pause_is_not_listened_to(row: Domain, clock: Clock) -> None:
    for _ in range(1000):
        clock.move(0.001)
        record_stats(row.host, message(clock.now, [stats(row, clock.now)]))
    assert len(ring(row)) + len(ring(row, FINE)) == 2


def test_a_domain_told_twice_counts_once(row: Domain, clock: Clock) -> None:
    assert record_stats(row.host, message(clock.now, [stats(row)] * 3)) == 1
    assert len(ring(row)) == 1


def test_what_is_measured_is_kept_as_means(row: Domain, clock: Clock) -> None:
    measure(clock, row.host, [row], seconds=90)
    first, *rest = ring(row)
    assert is_gap(first)
    assert rest == [RATES] * 2
    (_, second, third) = rings.read(COARSE, Kind.HOST, [row.host.pk])[row.host.pk]
    assert second.values == third.values == (25.0, 2.0**33, 1.0, 2.0, 3.0)
    assert third.at == int(clock.now)
    assert not ring(row, FINE)


def test_a_restart_is_a_gap_and_no_spike(row: Domain, clock: Clock) -> None:
    measure(clock, row.host, [row], seconds=60)
    for seconds in (5, 35):
        clock.move(30)
        record_stats(row.host, message(clock.now, [stats(row, seconds)]))
    *_, restarted, after = ring(row)
    assert is_gap(restarted)
    assert after == RATES


def test_a_clock_that_is_set_is_a_gap_and_no_spike(row: Domain, clock: Clock) -> None:
    measure(clock, row.host, [row], seconds=60)
    for _ in range(2):
        clock.move(30)
        record_stats(row.host, message(clock.now - 3600, [stats(row, clock.now)]))
    *_, step, after = ring(row)
    assert is_gap(step)
    assert after == RATES


def test_our_own_clock_set_back_stops_nothing(row: Domain, clock: Clock) -> None:
    measure(clock, row.host, [row], seconds=60)
    clock.move(-3600)
    measure(clock, row.host, [row], seconds=60)
    assert len(ring(row)) == 4
    assert ring(row)[-1] == RATES


def test_a_pause_is_a_gap(row: Domain, clock: Clock) -> None:
    measure(clock, row.host, [row], seconds=60)
    clock.move(300)
    measure(clock, row.host, [row], seconds=60)
    *_, late, after = ring(row)
    assert is_gap(late)
    assert after == RATES


def test_while_somebody_looks_both_rings_have_true_means(row: Domain, clock: Clock) -> None:
    measure(clock, row.host, [row], seconds=30)
    measure(clock, row.host, [row], seconds=60, period=2)
    assert ring(row, FINE) == [RATES] * 30
    coarse = rings.read(COARSE, Kind.DOMAIN, [row.pk])[row.pk]
    assert [point.values for point in coarse[1:]] == [RATES] * 2
    assert all(27 <= b.at - a.at <= 30 for a, b in pairwise(coarse))


def test_an_emptied_redis_is_a_gap(row: Domain, clock: Clock, rings_redis: Redis) -> None:
    measure(clock, row.host, [row], seconds=60)
    rings_redis.flushdb()
    measure(clock, row.host, [row], seconds=60)
    first, after = ring(row)
    assert is_gap(first)
    assert after == RATES


def test_a_redis_that_is_gone_harms_nothing(row: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rings, "get_redis_connection", Mock(side_effect=NotThere))
    assert record_stats(row.host, message(1, [stats(row)])) == 0
    assert stats_period([1]) == {1: 30}
    look(1)
    assert sparklines([row.pk]) == {}


@pytest.mark.parametrize(("which", "period", "most"), [(COARSE, 30, 6 * 1024), (FINE, 2, 8 * 1024)])
def test_a_ring_is_bounded_and_forgotten(
    row: Domain, clock: Clock, rings_redis: Redis, which: Ring, period: int, most: int
) -> None:
    measure(clock, row.host, [row], seconds=(which.points + 40) * period, period=period)
    assert len(ring(row, which)) == which.points
    key = f"{PREFIX}:{which.name}:domain:{row.pk}"
    assert 0 < (rings_redis.memory_usage(key) or 0) <= most
    assert 0 < rings_redis.ttl(key) <= which.reach
    assert 0 < rings_redis.ttl(f"{PREFIX}:counters:coarse:{row.host.pk}") <= 120


def test_a_message_costs_one_query(row: Domain, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    rows = [row, *(domain(row.host) for _ in range(5))]
    with django_assert_num_queries(1):
        assert record_stats(row.host, message(1, map(stats, rows))) == 6


def test_a_host_is_measured_often_while_somebody_looks(clock: Clock, rings_redis: Redis) -> None:
    assert stats_period([1, 2]) == {1: 30, 2: 30}
    look(1)
    assert stats_period([1, 2]) == {1: 2, 2: 30}
    clock.move(9)
    look(2)
    clock.move(2)
    assert stats_period([1, 2]) == {1: 30, 2: 2}
    assert 0 < rings_redis.ttl(rings.LOOKED_KEY) <= 10


def test_sparklines_of_a_table(clock: Clock, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    busy, idle = domain(), domain()
    measure(clock, busy.host, [busy], seconds=120)
    with django_assert_num_queries(0):
        lines = sparklines([busy.pk, idle.pk])
    assert lines.keys() == {busy.pk}
    assert len(lines[busy.pk]) == 30
    assert lines[busy.pk][-3:] == [50.0] * 3
    assert lines[busy.pk][:-3] == [None] * 27
    assert sparklines([]) == {}
