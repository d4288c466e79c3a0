"""Consoles through the server: what opens one, what ends one, and that bytes come through unharmed."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from channels.db import database_sync_to_async as in_thread
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.fixtures import Settings
from redis import Redis
from rest_framework.test import APIClient

from access import rounds
from access.models import ApiToken
from access.services import create_token
from domains import consumers, tickets
from domains.models import Domain
from hosts import guards, trust
from tests.access.outages import database_that
from tests.hosts.daemons import PlayedDaemon

from . import factories
from .consoles import BrowserEnd, Talk, echo, ending_with, silence

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_server")]

ServeDomain = Callable[..., Domain]


@pytest.fixture
def serve(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServeDomain]:
    """Make a running domain whose daemon plays its console as `talk` says."""
    settings.VIRSHMANAGER_HOME = tmp_path / "home"
    settings.VIRSHMANAGER_HOME.mkdir(mode=0o700)
    monkeypatch.setattr(guards, "_guards", [lambda ip: ip.startswith("127.")])
    with ExitStack() as stack:

        def serving(talk: Talk = echo) -> Domain:
            daemon = stack.enter_context(PlayedDaemon(tmp_path, trust.server_identity(), talk=talk))
            return factories.domain(daemon.host(), state="running")

        yield serving


def ticket_for(browser: Client | APIClient, domain: Domain, kind: str = "serial") -> str:
    path = f"/api/domains/{domain.pk}/console/"
    answer = browser.post(path, {"kind": kind}, content_type="application/json")
    assert answer.status_code == 200, answer.content
    return str(answer.json()["ticket"])


def session_of(browser: Client) -> str:
    return str(browser.session.session_key)


async def opened(browser: Client, domain: Domain, **hello: Any) -> BrowserEnd:
    """A console that is open: the daemon said so."""
    ticket = await in_thread(ticket_for)(browser, domain)
    end = BrowserEnd(await in_thread(session_of)(browser))
    await end.connect()
    await end.say({"ticket": ticket, **hello})
    assert (await end.hear())["type"] == "ready"
    return end


async def refused(end: BrowserEnd, hello: bytes | str | dict[str, Any]) -> int:
    await end.connect()
    await end.say(hello)
    return await end.closed()


def json_client(user: User) -> tuple[APIClient, str]:
    _, token = create_token(user=user, name="console", scope="operate")
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client, token


@pytest.mark.attack("Console ticket")
class TestTicket:
    def test_nobody_without_rights_gets_one(self, sam: User) -> None:
        client = Client()
        client.force_login(sam, backend="allauth.account.auth_backends.AuthenticationBackend")
        domain = factories.domain()
        for asking in (client, Client()):
            answer = asking.post(f"/api/domains/{domain.pk}/console/", {"kind": "vnc"}, "application/json")
            assert answer.status_code in {401, 403}

    @pytest.mark.parametrize("body", [{}, {"kind": "spice"}, {"kind": ["vnc"]}, []])
    def test_a_kind_that_is_none_is_refused(self, api: APIClient, body: object) -> None:
        domain = factories.domain()
        assert api.post(f"/api/domains/{domain.pk}/console/", body, "json").status_code == 400

    def test_it_is_refused_of_a_domain_that_nobody_can_ask(self, api: APIClient) -> None:
        found = factories.domain(factories.owned_host(trust="retired"))
        answer = api.post(f"/api/domains/{found.pk}/console/", {"kind": "vnc"}, "json")
        assert (answer.status_code, answer.json()["type"]) == (409, "host_not_owned")
        assert api.get(f"/api/domains/{found.pk}/console/").status_code == 405

    def test_it_is_long_ends_soon_and_lies_nowhere_in_clear(
        self, api: APIClient, redis_server: Redis
    ) -> None:
        domain = factories.domain()
        answer = api.post(f"/api/domains/{domain.pk}/console/", {"kind": "vnc"}, "json")
        told = answer.json()
        assert (told["expires_in"], told["url"]) == (30, "/ws/console/")
        assert len(told["ticket"]) >= 22  # base64 of 128 bits
        assert answer["Cache-Control"] == "no-store"
        client: Any = redis_server
        [key] = client.keys("virshmanager:console-ticket:*")
        assert 0 < client.ttl(key) <= 30
        assert told["ticket"].encode() not in key + client.get(key)

    @pytest.fixture(autouse=True)
    def without_tickets(self, redis_server: Redis) -> None:
        for key in redis_server.scan_iter("virshmanager:console-ticket:*"):
            redis_server.delete(key)


@pytest.mark.attack("Console ticket")
class TestRefused:
    @pytest.mark.parametrize(
        "hello",
        [
            b"\x00",
            "",
            "{",
            "[]",
            "7",
            "[" * 30_000,
            {},
            {"ticket": 5},
            {"ticket": "no such ticket"},
            {"ticket": "x" * 60_000},
            {"ticket": "\ud800"},
            {"ticket": "x", "mode": "root"},
            {"ticket": "x", "mode": {}},
        ],
        ids=lambda hello: str(hello)[:20],
    )
    async def test_nonsense(self, browser: Client, hello: Any) -> None:
        end = BrowserEnd(await in_thread(session_of)(browser))
        assert await refused(end, hello) == 4403

    async def test_who_says_nothing(self, browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(consumers, "TICKET_SECONDS", 0.1)
        end = BrowserEnd(await in_thread(session_of)(browser))
        await end.connect()
        assert await end.closed() == 4403

    async def test_who_is_not_logged_in_or_has_no_rights(self, sam: User) -> None:
        client = Client()
        await in_thread(client.force_login)(sam, backend="django.contrib.auth.backends.ModelBackend")
        for session in ("", "nosuchsession", await in_thread(session_of)(client)):
            assert await refused(BrowserEnd(session), {"ticket": "x"}) == 4401

    async def test_a_ticket_that_is_shown_again(self, serve: ServeDomain, browser: Client) -> None:
        domain = await in_thread(serve)()
        ticket = await in_thread(ticket_for)(browser, domain)
        session = await in_thread(session_of)(browser)
        first = BrowserEnd(session)
        await first.connect()
        await first.say({"ticket": ticket})
        assert (await first.hear())["type"] == "ready"
        assert await refused(BrowserEnd(session), {"ticket": ticket}) == 4403
        await first.leave()

    async def test_a_ticket_that_is_late(
        self, serve: ServeDomain, browser: Client, redis_server: Redis
    ) -> None:
        domain = await in_thread(serve)()
        ticket = await in_thread(ticket_for)(browser, domain)
        redis_server.delete(tickets._key(ticket))  # as Redis does after 30 s
        end = BrowserEnd(await in_thread(session_of)(browser))
        assert await refused(end, {"ticket": ticket}) == 4403

    async def test_a_ticket_of_another_user_or_session_or_token(
        self, serve: ServeDomain, browser: Client, ada: User
    ) -> None:
        domain = await in_thread(serve)()
        thief = await in_thread(User.objects.create_superuser)("mallory")
        elsewhere = Client()
        await in_thread(elsewhere.force_login)(
            ada, backend="allauth.account.auth_backends.AuthenticationBackend"
        )
        theirs = Client()
        await in_thread(theirs.force_login)(
            thief, backend="allauth.account.auth_backends.AuthenticationBackend"
        )
        _, token = await in_thread(json_client)(ada)
        for end in (
            BrowserEnd(await in_thread(session_of)(theirs)),
            BrowserEnd(await in_thread(session_of)(elsewhere)),
            BrowserEnd(await in_thread(session_of)(browser), token=token),
        ):
            ticket = await in_thread(ticket_for)(browser, domain)
            assert await refused(end, {"ticket": ticket}) == 4403

    async def test_a_program_s_ticket_in_a_session(
        self, serve: ServeDomain, browser: Client, api: APIClient
    ) -> None:
        domain = await in_thread(serve)()
        ticket = await in_thread(ticket_for)(api, domain)
        end = BrowserEnd(await in_thread(session_of)(browser))
        assert await refused(end, {"ticket": ticket}) == 4403

    async def test_a_domain_that_is_gone_meanwhile(self, serve: ServeDomain, browser: Client) -> None:
        domain = await in_thread(serve)()
        ticket = await in_thread(ticket_for)(browser, domain)
        await in_thread(domain.delete)()
        end = BrowserEnd(await in_thread(session_of)(browser))
        assert await refused(end, {"ticket": ticket}) == 4403


class TestNotOpened:
    async def test_a_host_that_is_down_is_told_in_words(self, browser: Client, serve: ServeDomain) -> None:
        domain = await in_thread(serve)()
        await in_thread(self.move)(domain)
        end = BrowserEnd(await in_thread(session_of)(browser))
        ticket = await in_thread(ticket_for)(browser, domain)
        await end.connect()
        await end.say({"ticket": ticket})
        told = await end.hear()
        assert (told["type"], told["problem"]) == ("error", "unreachable")
        assert told["detail"]
        assert await end.closed() == 4503

    @staticmethod
    def move(domain: Domain) -> None:
        domain.host.port = 1
        domain.host.save()

    @pytest.mark.parametrize(
        ("code", "reason"),
        [(4409, "busy"), (4410, "taken over"), (4411, "domain stopped"), (1012, ""), (1013, "too slow")],
    )
    async def test_the_daemon_s_reasons_are_passed_on(
        self, serve: ServeDomain, browser: Client, code: int, reason: str
    ) -> None:
        domain = await in_thread(serve)(ending_with(code, reason))
        end = BrowserEnd(await in_thread(session_of)(browser))
        assert await refused(end, {"ticket": await in_thread(ticket_for)(browser, domain)}) == code

    @pytest.mark.parametrize("code", [1001, 1002, 3000])
    async def test_an_end_that_means_nothing_to_a_browser_is_worth_another_try(
        self, serve: ServeDomain, browser: Client, code: int
    ) -> None:
        domain = await in_thread(serve)(ending_with(code))
        end = BrowserEnd(await in_thread(session_of)(browser))
        assert await refused(end, {"ticket": await in_thread(ticket_for)(browser, domain)}) == 1012


@pytest.mark.attack("Console ticket")
class TestRevoked:
    """Within two seconds a console ends with what it was opened by."""

    @pytest.mark.parametrize("how", ["logout", "disabled", "no rights", "password"])
    async def test_it_ends_with_the_login(
        self, serve: ServeDomain, browser: Client, ada: User, how: str
    ) -> None:
        end = await opened(browser, await in_thread(serve)(silence))
        await in_thread(self.revoke)(browser, ada, how)
        assert await end.closed(seconds=2) == 4401

    @staticmethod
    def revoke(browser: Client, ada: User, how: str) -> None:
        if how == "logout":
            browser.logout()
        ada.is_active = how != "disabled"
        ada.is_superuser = how != "no rights"
        if how == "password":
            ada.set_password("another")
        ada.save()

    async def test_it_ends_also_while_the_browser_does_not_read(
        self, serve: ServeDomain, browser: Client
    ) -> None:
        end = await opened(browser, await in_thread(serve)(silence), acknowledges=True)
        await in_thread(browser.logout)()
        assert await end.closed(seconds=2) == 4401

    @pytest.mark.parametrize("how", ["hangs", "fails"])
    async def test_a_database_that_is_gone_ends_no_login_and_the_browser_tries_again(
        self, serve: ServeDomain, browser: Client, monkeypatch: pytest.MonkeyPatch, how: str
    ) -> None:
        monkeypatch.setattr(rounds, "ANSWER_SECONDS", 1)
        end = await opened(browser, await in_thread(serve)(silence))
        with database_that(how):
            assert await end.closed() == 1012

    async def test_it_ends_with_the_token(self, serve: ServeDomain, ada: User) -> None:
        client, token = await in_thread(json_client)(ada)
        ticket = await in_thread(ticket_for)(client, await in_thread(serve)(silence))
        end = BrowserEnd(token=token)
        await end.connect()
        await end.say({"ticket": ticket})
        assert (await end.hear())["type"] == "ready"
        await in_thread(ApiToken.objects.all().delete)()
        assert await end.closed(seconds=2) == 4401


class TestOpen:
    async def test_bytes_go_both_ways(self, serve: ServeDomain, browser: Client) -> None:
        end = await opened(browser, await in_thread(serve)())
        for said in (b"uname\r", bytes(range(256)), b"x" * 60_000):
            await end.say(said)
            assert await end.hear() == said.upper()
        await end.leave()

    async def test_what_the_daemon_says_is_passed_on(self, serve: ServeDomain, browser: Client) -> None:
        viewers = {"type": "viewers", "viewers": 2}

        async def talk(stream: Any) -> None:
            await stream.send(json.dumps({"type": "ready", "mode": "view", "viewers": 2}))
            await stream.send(json.dumps(viewers))
            await stream.wait_closed()

        end = await opened(browser, await in_thread(serve)(talk), mode="view")
        assert await end.hear() == viewers
        await end.leave()

    async def test_a_silent_guest_is_told_from_a_lost_connection(
        self, serve: ServeDomain, browser: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(consumers, "BEAT_SECONDS", 0.05)
        end = await opened(browser, await in_thread(serve)(silence))
        assert [await end.hear() for _ in range(2)] == [{"type": "beat"}] * 2
        await end.leave()

    @pytest.mark.parametrize("mode", ["ask", "view", "take"])
    @pytest.mark.parametrize("kind", ["serial", "vnc"])
    async def test_the_daemon_is_asked_for_this_domain_kind_and_mode(
        self, serve: ServeDomain, browser: Client, kind: str, mode: str
    ) -> None:
        async def talk(stream: Any) -> None:
            await stream.send(json.dumps({"type": stream.request.path}))
            await stream.wait_closed()

        domain = await in_thread(serve)(talk)
        end = BrowserEnd(await in_thread(session_of)(browser))
        await end.connect()
        await end.say({"ticket": await in_thread(ticket_for)(browser, domain, kind), "mode": mode})
        assert await end.hear() == {
            "type": f"/v1/domains/{UUID(str(domain.uuid))}/console/{kind}?mode={mode}"
        }
        await end.leave()

    async def test_the_daemon_s_stream_ends_with_the_browser_s(
        self, serve: ServeDomain, browser: Client
    ) -> None:
        left = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()

        async def talk(stream: Any) -> None:
            await silence(stream)
            loop.call_soon_threadsafe(left.set_result, stream.close_code)

        end = await opened(browser, await in_thread(serve)(talk))
        await end.leave()
        async with asyncio.timeout(5):
            assert await left == 1000

    async def test_words_that_mean_nothing_change_nothing(self, serve: ServeDomain, browser: Client) -> None:
        end = await opened(browser, await in_thread(serve)())
        for nonsense in ("", "{", '{"acknowledged": "x"}', '{"acknowledged": -5}', '{"ticket": "x"}'):
            await end.say(nonsense)
        await end.say(b"still here")
        assert await end.hear() == b"STILL HERE"
        await end.leave()

    async def test_twenty_at_once(self, serve: ServeDomain, browser: Client) -> None:
        domain = await in_thread(serve)()
        ends = [await opened(browser, domain) for _ in range(20)]
        for number, end in enumerate(ends):
            await end.say(f"number {number}".encode())
        for number, end in enumerate(ends):
            assert await end.hear() == f"NUMBER {number}".encode()
            await end.leave()


class TestPace:
    async def test_no_more_is_under_way_than_a_browser_acknowledges(
        self, serve: ServeDomain, browser: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(consumers, "WINDOW", 100_000)

        async def talk(stream: Any) -> None:
            await stream.send(json.dumps({"type": "ready"}))
            for _ in range(40):
                await stream.send(b"y" * 60_000)
            await stream.wait_closed()

        end = await opened(browser, await in_thread(serve)(talk), acknowledges=True)
        for _ in range(20):
            assert len(await end.hear()) + len(await end.hear()) == 120_000
            assert await end.wire.receive_nothing(timeout=0.05)
            await end.say({"acknowledged": 120_000})
        await end.leave()
