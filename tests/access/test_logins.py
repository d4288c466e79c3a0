"""The logins of all that is open are read together: as each alone, and at a price that does not grow."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest
from channels.db import database_sync_to_async as in_thread
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings

from access import rounds
from access.choices import Role, Scope, Target
from access.logins import Login, rights_of_logins
from access.models import ApiToken, Place
from access.permissions import EVERYTHING, NOTHING
from access.services import create_token
from domains.services.consoles import Seat, may_stay
from hosts import consumers
from tests.domains import factories
from tests.hosts.sockets import Socket, logged_in, session_of

from .granting import granted

QUERIES = 4  # sessions and their users, tokens with theirs, grants
QUERIES_OF_CONSOLES = QUERIES + 1  # domains


def by_session(user: User) -> Login:
    return Login(session=str(logged_in(user).session.session_key))


def by_token(user: User) -> Login:
    token, _ = create_token(user=user, name="program", scope=Scope.READ)
    return Login(token=token.pk)


@pytest.mark.django_db
class TestRights:
    def test_a_login_that_is_none_or_none_any_more_has_none(self, ada: User) -> None:
        left, late, expired, revoked = by_session(ada), by_session(ada), by_token(ada), by_token(ada)
        Session.objects.filter(pk=left.session).delete()
        Session.objects.filter(pk=late.session).update(expire_date=timezone.now())
        ApiToken.objects.filter(pk=expired.token).update(expiry=timezone.now())
        ApiToken.objects.filter(pk=revoked.token).delete()
        ended = [left, late, expired, revoked, Login(), Login("nosuchsession"), Login(token=0)]
        good = [by_session(ada), by_token(ada)]
        rights = rights_of_logins([*ended, *good])
        assert [rights[login] for login in ended] == [NOTHING] * len(ended)
        assert all(rights[login].administers for login in good)

    @pytest.mark.parametrize("cause", ["disabled", "password"])
    def test_the_end_of_an_account_or_its_password_is_the_end_of_its_logins_alone(
        self, ada: User, sam: User, cause: str
    ) -> None:
        granted(sam, Role.VIEWER)
        logins = [by_session(sam), by_session(ada), by_token(sam)]
        if cause == "disabled":
            sam.is_active = False
        else:
            sam.set_password("another")
        sam.save()
        rights = rights_of_logins(logins)
        assert [bool(rights[login]) for login in logins] == [False, True, cause == "password"]

    def test_a_session_does_not_outlive_the_way_in_by_which_it_came(
        self, ada: User, settings: Settings
    ) -> None:
        login = by_session(ada)
        settings.AUTHENTICATION_BACKENDS = ["access.directory.DirectoryBackend"]
        assert not rights_of_logins([login])[login]

    def test_each_has_what_he_and_his_groups_were_granted(self, ada: User, sam: User) -> None:
        otto, vera = (User.objects.create_user(name) for name in ("otto", "vera"))
        group, other = (Group.objects.create(name=name) for name in ("both", "vera's"))
        group.user_set.add(otto, vera)
        other.user_set.add(vera)
        domain = factories.domain()
        granted(group, Role.VIEWER, domain)
        granted(other, Role.OPERATOR, domain)
        granted(otto, Role.VIEWER, "web")
        logins = {user: by_session(user) for user in (ada, sam, otto, vera)}
        rights = rights_of_logins(logins.values())
        at = Place(Target.DOMAIN, object_id=domain.pk)
        assert [rights[login].roles for login in logins.values()] == [
            {EVERYTHING: Role.ADMINISTRATOR},
            {},
            {at: Role.VIEWER, Place(Target.TAG, "web"): Role.VIEWER},
            {at: Role.OPERATOR},
        ]

    @pytest.mark.parametrize("n", [1, 10])
    def test_it_costs_a_fixed_number_of_queries(self, ada: User, n: int) -> None:
        users = [User.objects.create_user(f"user {number}") for number in range(n)]
        domains = [factories.domain() for _ in users]
        for user, domain in zip(users, domains, strict=True):
            granted(user, Role.OPERATOR, domain)
        logins = [how(user) for user in (ada, *users) for how in (by_session, by_token)]
        with CaptureQueriesContext(connection) as queries:
            rights = rights_of_logins(logins)
        assert (len(queries), all(rights.values())) == (QUERIES, True)
        seats = [Seat(login, domain.pk, types=True) for login in logins for domain in domains]
        with CaptureQueriesContext(connection) as queries:
            may = may_stay(seats)
        assert (len(queries), len(may)) == (QUERIES_OF_CONSOLES, len(seats))


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What all threads ask the database, by the first table of each."""
    asked: list[str] = []
    really = CursorWrapper.execute

    def execute(cursor: Any, sql: Any, *values: Any) -> Any:
        asked.extend(re.findall(r'FROM "(\w+)"', str(sql))[:1])
        return really(cursor, sql, *values)

    with monkeypatch.context() as patch:
        patch.setattr(CursorWrapper, "execute", execute)
        yield asked


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("redis_server")
async def test_fifty_pages_cost_the_database_no_more_than_one(
    ada: User, sam: User, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(number: int) -> Socket:
        if number % 2:
            return Socket(consumers.LiveConsumer, session=session_of(sam if number % 3 else ada))
        _, token = create_token(user=ada, name="program", scope=Scope.READ)
        shown = f"Token {token}".encode()
        return Socket(consumers.LiveConsumer, headers=[(b"authorization", shown)])

    await in_thread(granted)(sam, Role.VIEWER)
    pages = [await in_thread(opened)(number) for number in range(50)]
    for page in pages:
        await page.connect()
        assert (await page.told())["type"] == "hello"
    monkeypatch.setattr(rounds, "ROUND_SECONDS", 0.05)
    for _ in range(2):  # first what was under way
        statements.clear()
        async with asyncio.timeout(20):
            while statements.count("django_session") < 4:
                await asyncio.sleep(0.01)
    one_round = {"django_session", "auth_user", "access_apitoken", "access_grant"}
    begun = statements.index("django_session")
    assert [set(statements[at : at + QUERIES]) for at in (begun, begun + QUERIES)] == [one_round] * 2
    for page in pages:
        await page.disconnect()
