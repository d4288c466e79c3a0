"""The live channel: who may listen, what is told, and what happens when something was lost."""

import itertools
from pathlib import Path
from typing import Any, cast

import pytest
from channels.db import database_sync_to_async
from channels.layers import BaseChannelLayer, channel_layers, get_channel_layer
from channels.sessions import SessionMiddlewareStack
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from redis import Redis

from access import rounds
from hosts import consumers, live
from tests.access.outages import database_that

from .sockets import Socket, socket

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_server")]


numbers = itertools.count(1)


async def tell(group: str, sequence: int, kind: str = "host.changed", key: int = 5) -> None:
    layer: Any = get_channel_layer()
    news = next(numbers)
    event = live.Event(type="live.event", event=kind, id=key, group=group, sequence=sequence, news=news)  # type: ignore[typeddict-item]
    await layer.group_send(group, dict(event))


async def listening(user: User, query: str = "") -> Socket:
    communicator = await socket(user, query)
    await communicator.connect()
    assert await communicator.told() == {"type": "hello", "id": None, "sequence": 0}
    return communicator


@pytest.mark.parametrize("query", ["host=%D9%A3", f"host={'9' * 200}", "host=1.x", "host=*", "fleet=1", "%"])
async def test_a_page_that_asks_for_nonsense_hears_of_the_fleet(query: str, ada: User) -> None:
    communicator = await listening(ada, query)
    await tell("fleet", 1)
    assert (await communicator.told())["type"] == "host.changed"
    await communicator.disconnect()


@pytest.mark.parametrize("said", [{"text": "no JSON"}, {"text": "{}"}, {"bytes": b"\xff"}])
async def test_what_a_page_says_is_not_read(said: dict[str, Any], ada: User) -> None:
    communicator = await listening(ada)
    await communicator.wire.send_input({"type": "websocket.receive", **said})
    await tell("fleet", 1)
    assert (await communicator.told())["type"] == "host.changed"
    await communicator.disconnect()


@pytest.mark.parametrize("who", ["stranger", "sam"])
async def test_who_is_no_administrator_is_closed_and_told_nothing(who: str, sam: User) -> None:
    communicator = await socket(sam if who == "sam" else None)
    await communicator.connect()
    assert await communicator.closed() == 4401


async def test_a_path_that_is_none_of_ours_is_closed() -> None:
    communicator = Socket(consumers.NowhereConsumer)
    await communicator.connect()
    assert await communicator.closed() == 4404


async def test_without_redis_the_browser_is_sent_away_to_try_again(ada: User, tmp_path: Path) -> None:
    nowhere = RedisPubSubChannelLayer(hosts=[f"unix://{tmp_path}/redis.sock"])
    working = channel_layers.set("default", nowhere)
    try:
        communicator = await socket(ada)
        await communicator.connect()
        assert await communicator.closed() == 1012
    finally:
        channel_layers.set("default", cast("BaseChannelLayer", working))


async def test_redis_that_goes_later_ends_the_socket(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(live, "reachable", lambda: False)
    communicator = await in_session(browser)
    assert await communicator.closed() == 1012


class InSession:
    """The consumer behind what reads the cookie."""

    @staticmethod
    def as_asgi() -> Any:
        return SessionMiddlewareStack(consumers.LiveConsumer.as_asgi())


async def shown(browser: Client) -> Socket:
    """A page of a browser that is logged in, with the cookie read as in service."""
    key = await database_sync_to_async(lambda: browser.session.session_key)()
    cookie = f"{settings.SESSION_COOKIE_NAME}={key}".encode()
    communicator = Socket(InSession, headers=[(b"cookie", cookie)])
    await communicator.connect()
    return communicator


async def in_session(browser: Client) -> Socket:
    """The same, which may listen."""
    communicator = await shown(browser)
    assert (await communicator.told())["type"] == "hello"
    return communicator


@pytest.mark.parametrize("how", ["logout", "disabled", "no rights"])
async def test_a_login_that_ends_ends_the_socket(
    browser: Client, ada: User, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(consumers, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(rounds, "ROUND_SECONDS", 0.01)
    communicator = await in_session(browser)
    assert (await communicator.told())["type"] == "beat"
    if how == "logout":
        await database_sync_to_async(browser.logout)()
    ada.is_active, ada.is_superuser = how != "disabled", how != "no rights"
    await ada.asave()
    assert await communicator.closed_at_last() == 4401


@pytest.mark.parametrize("how", ["hangs", "fails"])
async def test_a_database_that_is_gone_ends_no_login_and_the_browser_tries_again(
    browser: Client, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(rounds, "ANSWER_SECONDS", 1)
    communicator = await in_session(browser)
    with database_that(how):
        assert await communicator.closed_at_last() == 1012
    await communicator.disconnect()
    again = await in_session(browser)
    await again.disconnect()


async def test_without_the_database_no_page_is_opened(browser: Client) -> None:
    with database_that("fails"):
        assert await (await shown(browser)).closed() == 1012


async def test_a_change_is_told_by_type_and_id_alone(ada: User, redis_server: Redis) -> None:
    communicator = await listening(ada)
    await database_sync_to_async(live.publish)("host.changed", 7)
    assert await communicator.told() == {"type": "host.changed", "id": 7, "sequence": 1}
    await communicator.disconnect()


async def test_what_several_groups_hear_a_page_is_told_once(ada: User, redis_server: Redis) -> None:
    communicator = await listening(ada, "domain=7")
    for _ in range(2):
        await database_sync_to_async(live.publish)("domain.changed", 7, "fleet", "domain.7", "fleet")
    for sequence in (1, 2):
        assert await communicator.told() == {"type": "domain.changed", "id": 7, "sequence": sequence}
    assert await communicator.silent()
    await communicator.disconnect()


async def test_one_object_s_changes_are_for_the_pages_that_show_it(ada: User) -> None:
    plain, shown = await listening(ada), await listening(ada, "domain=3&secret=1")
    await tell("domain.3", 1, "domain.changed", 3)
    assert (await shown.told())["type"] == "domain.changed"
    assert await plain.silent()
    for communicator in (plain, shown):
        await communicator.disconnect()


async def test_a_loss_makes_the_page_fetch_all_it_shows(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "OVERTAKING_SECONDS", 0.05)
    communicator = await listening(ada)
    for sequence in (4, 6):
        await tell("fleet", sequence)
    told = [(await communicator.told())["type"] for _ in range(3)]
    assert told == ["host.changed", "host.changed", "resync"]
    await communicator.disconnect()


async def test_overtaking_is_no_loss(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "OVERTAKING_SECONDS", 0.2)
    communicator = await listening(ada)
    for sequence in (4, 6, 5, 7):
        await tell("fleet", sequence)
    for _ in range(4):
        assert (await communicator.told())["type"] == "host.changed"
    assert await communicator.silent(0.4)
    await communicator.disconnect()


async def test_a_redis_that_was_emptied_silences_nothing(
    ada: User, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "OVERTAKING_SECONDS", 0.1)
    communicator = await listening(ada)
    for _ in range(2):
        await database_sync_to_async(live.publish)("host.changed", 7)
        assert (await communicator.told())["id"] == 7
    redis_server.flushall()
    # It counts from 1 again, and nobody knows what was lost with it.
    await database_sync_to_async(live.publish)("host.changed", 8, "fleet", "operations")
    assert [(await communicator.told())["type"] for _ in range(2)] == ["host.changed", "resync"]
    assert await communicator.silent()
    await communicator.disconnect()


def test_what_is_counted_for_one_object_is_forgotten_in_time(redis_server: Redis) -> None:
    live.publish("domain.changed", 77, "domain.77")
    kept = [key for key in redis_server.scan_iter("*domain.77*") if redis_server.ttl(key) < 0]
    assert kept == []
    assert list(redis_server.scan_iter("*domain.77*"))
