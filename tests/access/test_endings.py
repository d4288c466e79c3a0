"""What was open by a grant or a login ends with it within 2 s: requests, live pages and consoles."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from channels.db import database_sync_to_async as in_thread
from django.contrib.auth.models import Group, User
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client
from pytest_django.fixtures import Settings

from access.choices import Role, Scope
from access.models import ApiToken, Grant
from access.services import create_token
from domains.models import Domain
from hosts import consumers, guards, trust
from tests.domains import factories
from tests.domains.consoles import BrowserEnd, silence
from tests.hosts.daemons import PlayedDaemon
from tests.hosts.sockets import Socket, logged_in

from .granting import granted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_server")]

SECONDS = 2
LOGIN_NEEDED = 4401


@pytest.fixture
def domain(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Domain]:
    """One that runs, with a console that shows nothing."""
    settings.VIRSHMANAGER_HOME = tmp_path / "home"
    settings.VIRSHMANAGER_HOME.mkdir(mode=0o700)
    monkeypatch.setattr(guards, "_guards", [lambda ip: ip.startswith("127.")])
    with PlayedDaemon(tmp_path, trust.server_identity(), talk=silence) as daemon:
        yield factories.domain(daemon.host(), state="running")


class Person:
    """Sam, by a browser or by a program."""

    def __init__(self, user: User, *, by_token: bool) -> None:
        self.user, self.client = user, Client(raise_request_exception=False)
        self.token, self.session = "", SessionStore()
        if by_token:
            _, self.token = create_token(user=user, name="program", scope=Scope.OPERATE)
            self.client.defaults["HTTP_AUTHORIZATION"] = f"Token {self.token}"
        else:
            self.client = logged_in(user)
            self.session = SessionStore(self.client.session.session_key)

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return [(b"authorization", f"Token {self.token}".encode())] if self.token else []


Opened = Callable[[float], Awaitable[bool]]


async def request(person: Person, domain: Domain) -> Opened:
    def status() -> int:
        return person.client.get(f"/api/domains/{domain.pk}/").status_code

    assert await in_thread(status)() == 200

    async def ends(seconds: float) -> bool:
        async with asyncio.timeout(seconds):
            while await in_thread(status)() == 200:
                await asyncio.sleep(0.05)
        return True

    return ends


async def live_page(person: Person, domain: Domain) -> Opened:
    page = Socket(
        consumers.LiveConsumer, f"domain={domain.pk}", session=person.session, headers=person.headers
    )
    await page.connect()
    assert (await page.told())["type"] == "hello"

    async def ends(seconds: float) -> bool:
        async with asyncio.timeout(seconds):
            return await page.closed_at_last() == LOGIN_NEEDED

    return ends


async def console(person: Person, domain: Domain, mode: str = "ask") -> Opened:
    def ticket() -> str:
        wish = json.dumps({"kind": "serial"})
        answer = person.client.post(f"/api/domains/{domain.pk}/console/", wish, "application/json")
        return str(answer.json()["ticket"])

    end = BrowserEnd(person.session.session_key or "", person.token)
    await end.connect()
    await end.say({"ticket": await in_thread(ticket)(), "mode": mode})
    assert (await end.hear())["type"] == "ready"

    async def ends(seconds: float) -> bool:
        return await end.closed(seconds) == LOGIN_NEEDED

    return ends


def remove_grant(person: Person) -> None:
    Grant.objects.all().delete()


def leave_group(person: Person) -> None:
    person.user.groups.clear()


def disable(person: Person) -> None:
    User.objects.filter(pk=person.user.pk).update(is_active=False)


def revoke_token(person: Person) -> None:
    ApiToken.objects.all().delete()


def log_out(person: Person) -> None:
    person.client.post("/account/logout/")


CAUSES = [remove_grant, leave_group, disable, revoke_token, log_out]


@pytest.mark.parametrize("opened", [request, live_page, console])
@pytest.mark.parametrize("cause", CAUSES)
async def test_it_ends(
    sam: User,
    domain: Domain,
    cause: Callable[[Person], None],
    opened: Callable[[Person, Domain], Awaitable[Opened]],
) -> None:
    def grant() -> None:
        group = Group.objects.create(name="operators")
        sam.groups.add(group)
        granted(group, Role.OPERATOR, domain)

    await in_thread(grant)()
    person = await in_thread(Person)(sam, by_token=cause is revoke_token)
    ends = await opened(person, domain)
    await in_thread(cause)(person)
    assert await ends(SECONDS)


async def test_who_may_only_look_on_any_more_types_no_more(sam: User, domain: Domain) -> None:
    await in_thread(granted)(sam, Role.OPERATOR, domain)
    person = await in_thread(Person)(sam, by_token=False)
    ends = await console(person, domain)
    await in_thread(Grant.objects.update)(role=Role.VIEWER)
    assert await ends(SECONDS)


@pytest.mark.parametrize(
    ("role", "wish", "mode"),
    [
        (Role.VIEWER, "ask", "view"),
        (Role.VIEWER, "take", "view"),
        (Role.VIEWER, "view", "view"),
        (Role.OPERATOR, "take", "take"),
    ],
)
@pytest.mark.usefixtures("domain")
async def test_a_viewer_looks_on_whatever_he_asks_for(
    sam: User, tmp_path: Path, role: Role, wish: str, mode: str
) -> None:
    asked: list[str] = []

    async def talk(stream: Any) -> None:
        asked.append(stream.request.path)
        await silence(stream)

    def serve(daemon: PlayedDaemon) -> Domain:
        found = factories.domain(daemon.host(), state="running")
        granted(sam, role, found)
        return found

    with PlayedDaemon(tmp_path, await in_thread(trust.server_identity)(), talk=talk) as daemon:
        found = await in_thread(serve)(daemon)
        await console(await in_thread(Person)(sam, by_token=False), found, wish)
    assert asked[0].endswith(f"mode={mode}")
