"""`/api/domains/{id}/metrics/` and of a host: refusals first, then the shapes."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from unittest.mock import Mock

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from redis.exceptions import ConnectionError as NotThere
from rest_framework.test import APIClient

from domains import rings
from domains.models import Domain
from domains.services import roll_up, stats_period

from .factories import domain
from .measuring import Clock, measure

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("rings_redis")]

DOMAIN_SERIES = {
    "cpu": "%",
    "memory_used": "B",
    "block_read": "B/s",
    "block_write": "B/s",
    "block_read_requests": "1/s",
    "block_write_requests": "1/s",
    "net_receive": "B/s",
    "net_transmit": "B/s",
    "cpu_max": "%",
}
HOST_SERIES = {"cpu": "%", "memory_used": "B", "load_1": "", "load_5": "", "load_15": "", "cpu_max": "%"}


@pytest.fixture
def row() -> Domain:
    return domain(state="running")


def paths(row: Domain) -> tuple[str, str]:
    return f"/api/domains/{row.pk}/metrics/", f"/api/hosts/{row.host_id}/metrics/"


def test_metrics_are_for_those_who_may_see_it(row: Domain, stranger: Client, sam: User) -> None:
    for path in paths(row):
        assert stranger.get(path).status_code == 401
    stranger.force_login(sam, backend="allauth.account.auth_backends.AuthenticationBackend")
    for path in paths(row):
        assert stranger.get(path).status_code == 403


def test_what_is_not_there_is_404(api: APIClient) -> None:
    for pk in ("0", "9" * 40, "x"):
        assert api.get(f"/api/domains/{pk}/metrics/").status_code == 404
        assert api.get(f"/api/hosts/{pk}/metrics/").status_code == 404


@pytest.mark.parametrize("field", ["from", "to"])
@pytest.mark.parametrize(
    "value",
    ["", "x", "-1", "NaN", "inf", "1e308", "9" * 40, "9" * 400, "\x00", "2026-13-01T00:00:00Z", "2026-01-01",
     "2026-01-01T00:00:00", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "🂡", "[]", "x" * 5000],
)  # fmt: skip
def test_a_time_that_cannot_be_is_400(api: APIClient, row: Domain, field: str, value: str) -> None:
    for path in paths(row):
        answer = api.get(path, {field: value})
        assert (answer.status_code, answer.json()["type"]) == (400, "invalid")
        assert field in answer.json()["errors"] or "from" in answer.json()["errors"]


@pytest.mark.parametrize("step", ["", "0", "-1", "1.5", "x", "²", "٣", "86401", "9" * 40, "\x00", "9" * 5000])
def test_a_step_that_cannot_be_is_400(api: APIClient, row: Domain, step: str) -> None:
    for path in paths(row):
        answer = api.get(path, {"step": step})
        assert (answer.status_code, set(answer.json()["errors"])) == (400, {"step"})


def test_a_range_that_is_none_is_400(api: APIClient, row: Domain) -> None:
    for since, until in ((2000, 1000), (1000, 1000)):
        answer = api.get(paths(row)[0], {"from": since, "to": until})
        assert (answer.status_code, set(answer.json()["errors"])) == (400, {"from"})


def test_more_points_than_2000_are_refused(api: APIClient, row: Domain) -> None:
    assert api.get(paths(row)[0], {"from": 0, "to": 2001, "step": 1}).status_code == 400
    assert api.get(paths(row)[0], {"from": 0, "to": 2000, "step": 1}).status_code == 200
    assert api.get(paths(row)[0], {"from": 0, "to": 4e9}).json()["step"] == 2_000_000


@pytest.fixture
def without_redis(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets Redis go."""
    return lambda: monkeypatch.setattr(rings, "get_redis_connection", Mock(side_effect=NotThere))


def test_what_redis_alone_may_have_is_503_without_it(
    api: APIClient, row: Domain, clock: Clock, without_redis: Callable[[], None]
) -> None:
    measure(clock, row.host, [row], seconds=600)
    clock.move(10)
    roll_up()
    without_redis()
    # The last 5 minutes are its own, the last 24 hours of another domain might be there.
    asked = [(path, {"from": clock.now - 300}) for path in paths(row)]
    asked += [(path, {"from": clock.now - 86400}) for path in paths(domain())]
    for path, query in asked:
        answer = api.get(path, query)
        assert (answer.status_code, answer.json()["type"]) == (503, "redis_unavailable")


@pytest.mark.parametrize("seconds", [3600, 86400, 30 * 86400])
def test_without_redis_history_tells_what_it_has(
    api: APIClient, row: Domain, clock: Clock, without_redis: Callable[[], None], seconds: int
) -> None:
    measure(clock, row.host, [row], seconds=600)
    ended = int(clock.now)
    clock.move(10)
    roll_up()
    without_redis()
    for path in paths(row):
        answer = api.get(path, {"from": clock.now - seconds})
        assert answer.status_code == 200
        assert answer.json()["series"]["cpu"][-1][0] == ended


def test_what_redis_cannot_have_needs_none(
    api: APIClient, row: Domain, clock: Clock, without_redis: Callable[[], None]
) -> None:
    without_redis()
    answer = api.get(paths(row)[0], {"from": clock.now - 86400, "to": clock.now - 3600})
    assert (answer.status_code, answer.json()["series"]["cpu"]) == (200, [])


def test_nothing_measured_is_empty(api: APIClient, row: Domain) -> None:
    told = api.get(paths(row)[0]).json()
    assert told["series"] == {name: [] for name in DOMAIN_SERIES}
    assert told["units"] == DOMAIN_SERIES


def test_the_last_hour_of_a_domain_and_of_its_host(api: APIClient, row: Domain, clock: Clock) -> None:
    measure(clock, row.host, [row], seconds=90)
    of_domain, of_host = (api.get(path).json() for path in paths(row))
    assert set(of_domain) == {"from", "to", "step", "series", "units"}
    now = datetime.fromtimestamp(clock.now, UTC)
    assert of_domain["to"] == now.isoformat().replace("+00:00", "Z")
    assert of_domain["step"] == 30
    at = int(clock.now)
    assert of_domain["series"]["cpu"] == [[at - 60, None], [at - 30, 50.0], [at, 50.0]]
    assert of_domain["series"]["memory_used"][-1] == [at, 2**29]
    assert of_domain["series"]["net_transmit"][-1] == [at, 400.0]
    assert (set(of_host["series"]), of_host["units"]) == (set(HOST_SERIES), HOST_SERIES)
    assert of_host["series"]["load_15"][-1] == [at, 3.0]


def test_times_may_be_of_either_form(api: APIClient, row: Domain, clock: Clock) -> None:
    measure(clock, row.host, [row], seconds=300)
    since = datetime.fromtimestamp(clock.now - 60, UTC)
    for form in (str(clock.now - 60), since.isoformat(), f"{since:%Y-%m-%dT%H:%M:%SZ}"):
        told = api.get(paths(row)[0], {"from": form}).json()
        assert [point[0] for point in told["series"]["cpu"]] == [int(clock.now) - 30, int(clock.now)]


def test_an_answer_is_strict_json(api: APIClient, row: Domain, clock: Clock) -> None:
    measure(clock, row.host, [row], seconds=60)
    for path in paths(row):
        answer = api.get(path)
        assert answer.status_code == 200
        json.loads(answer.content, parse_constant=pytest.fail)


def test_who_looks_at_the_last_minutes_has_it_measured_often(
    api: APIClient, row: Domain, clock: Clock
) -> None:
    for path in paths(row):
        clock.move(20)
        api.get(path)
        api.get(path, {"from": clock.now - 86400})
        api.get(path, {"from": clock.now - 4000, "to": clock.now - 3800})
        api.get(path, {"from": clock.now - 300, "step": 30})
        assert stats_period([row.host_id]) == {row.host_id: 30}
        api.get(path, {"from": clock.now - 300})
        assert stats_period([row.host_id]) == {row.host_id: 2}


def test_it_costs_a_fixed_number_of_queries(api: APIClient, row: Domain, clock: Clock) -> None:
    measure(clock, row.host, [row], seconds=600)
    api.get("/api/")  # notes the use of the token
    for path in paths(row):
        counts = set()
        for _ in range(2):
            domain(row.host)
            with CaptureQueriesContext(connection) as queries:
                api.get(path, {"from": clock.now - 86400})
            counts.add(len(queries))
        # The two of the login, the object and, of history, minutes and hours.
        assert counts == {4}
