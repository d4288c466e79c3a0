"""Quotas: who sets them, whose domains count, which limit, and what the audit tells."""

import re
from typing import Any, Final

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.test import Client
from rest_framework.test import APIClient

from access.choices import MOST_BYTES, MOST_COUNTED, Resource, Role
from access.models import AuditEntry, Quota
from access.services import create_token, quota_of, room_of, set_quota
from tests.domains.factories import domain

from .granting import granted

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]

GIB = 2**30
NO_LIMITS: Final[tuple[Any, ...]] = (-1, 2**60 + 1, 2**63, 2**70, 10**400, 1.5, True, "many", [], {})
NONE: Final = {"domains": None, "vcpus": None, "memory": None, "disk": None}
FULL = {"domains": 3, "vcpus": 8, "memory": 16 * GIB, "disk": 200 * GIB}


@pytest.fixture
def team(sam: User) -> Group:
    group = Group.objects.create(name="team")
    sam.groups.add(group)
    return group


def program_of(user: User, scope: str = "administer") -> APIClient:
    _, token = create_token(user=user, name="tests", scope=scope)
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client


@pytest.fixture
def otto(db: None) -> User:
    """Otto administers everything, and is no superuser."""
    user = User.objects.create_user("otto")
    granted(user, Role.ADMINISTRATOR)
    return user


class TestWhatCounts:
    def test_a_quota_is_for_a_user_or_a_group(self, sam: User, team: Group) -> None:
        with pytest.raises(IntegrityError):
            Quota.objects.create(user=sam, group=team, domains=1)

    def test_a_superuser_is_limited_by_superusers_alone(self, ada: User, otto: User, team: Group) -> None:
        ada.groups.add(team)
        set_quota(team, {"domains": 1}, actor=otto)
        with pytest.raises(PermissionDenied):
            set_quota(ada, {"domains": 1}, actor=otto)
        assert room_of(ada)[Resource.DOMAINS].limit is None
        set_quota(ada, {"domains": 2}, actor=ada)
        assert room_of(ada)[Resource.DOMAINS].limit == 2

    def test_only_what_a_user_operates_by_a_grant_on_it_counts(self, sam: User, team: Group) -> None:
        own, seen, tagged, shared = domain(), domain(), domain(tags=["prod"]), domain()
        granted(sam, Role.OPERATOR, own)
        granted(sam, Role.VIEWER, seen)
        granted(sam, Role.OPERATOR, "prod")
        granted(sam, Role.OPERATOR, tagged.host)
        granted(team, Role.OPERATOR, shared)
        used = {name: room.used for name, room in room_of(sam).items()}
        assert used == {"domains": 1, "vcpus": own.vcpus, "memory": own.max_memory, "disk": None}

    def test_the_strictest_limit_counts(self, ada: User, sam: User, team: Group) -> None:
        granted(sam, Role.OPERATOR, domain())
        set_quota(sam, {"domains": 5, "vcpus": 1}, actor=ada)
        set_quota(team, {"domains": 3, "vcpus": 8}, actor=ada)
        set_quota(Group.objects.create(name="others"), {"domains": 0, "memory": 0}, actor=ada)
        room = room_of(sam)
        assert {name: one.left for name, one in room.items()} == NONE | {"domains": 2, "vcpus": 0}
        assert (room[Resource.DOMAINS].group, room[Resource.VCPUS].group) == (team, None)

    def test_of_disks_the_limit_is_known_and_what_is_left_is_not(self, ada: User, sam: User) -> None:
        set_quota(sam, {"disk": GIB}, actor=ada)
        disk = room_of(sam)[Resource.DISK]
        assert (disk.limit, disk.used, disk.left) == (GIB, None, None)

    def test_who_has_more_than_he_may_has_nothing_left(self, ada: User, sam: User) -> None:
        granted(sam, Role.OPERATOR, domain(vcpus=4))
        set_quota(sam, {"domains": 0, "vcpus": 3}, actor=ada)
        assert {name: one.left for name, one in room_of(sam).items()} == NONE | {"domains": 0, "vcpus": 0}

    def test_what_hosts_tell_cannot_be_too_large_to_sum(self, sam: User) -> None:
        for _ in range(3):
            granted(sam, Role.OPERATOR, domain(max_memory=2**63 - 1))
        assert (room_of(sam)[Resource.MEMORY].used or 0) > 2**64


class TestApi:
    @pytest.mark.parametrize("resource", FULL)
    def test_what_is_no_limit_is_refused(self, api: APIClient, sam: User, team: Group, resource: str) -> None:
        for at in (f"/api/users/{sam.pk}/quota/", f"/api/groups/{team.pk}/quota/"):
            for wrong in NO_LIMITS:
                answer = api.put(at, FULL | {resource: wrong}, format="json")
                assert (answer.status_code, set(answer.json()["errors"])) == (400, {resource}), wrong
        assert not Quota.objects.exists()

    def test_what_is_left_out_or_misspelt_lifts_nothing(self, api: APIClient, ada: User, sam: User) -> None:
        set_quota(sam, FULL, actor=ada)
        for body in ({}, {"memroy": GIB, **{name: FULL[name] for name in FULL if name != "memory"}}):
            assert api.put(f"/api/users/{sam.pk}/quota/", body, format="json").status_code == 400
        assert quota_of(sam).limits == FULL

    def test_a_superuser_is_out_of_reach_of_other_administrators(self, ada: User, otto: User) -> None:
        answer = program_of(otto).put(f"/api/users/{ada.pk}/quota/", FULL, format="json")
        assert answer.status_code == 403
        assert not Quota.objects.exists()
        assert AuditEntry.objects.filter(action="access.refuse", actor_id=otto.pk).exists()

    def test_a_program_needs_the_scope_of_administrators(self, otto: User, sam: User) -> None:
        at = f"/api/users/{sam.pk}/quota/"
        answer = program_of(otto, scope="operate").put(at, FULL, format="json")
        assert (answer.status_code, answer.json()["type"]) == (403, "scope_too_narrow")
        assert program_of(otto, scope="read").get(at).status_code == 200
        assert not Quota.objects.exists()

    def test_of_nobody_there_is_none(self, api: APIClient) -> None:
        for kind in ("users", "groups"):
            for call in (api.get, api.put):
                assert call(f"/api/{kind}/99999/quota/", FULL, format="json").status_code == 404

    def test_the_largest_limits_fit_every_database(self, api: APIClient, team: Group) -> None:
        most = {"domains": MOST_COUNTED, "vcpus": MOST_COUNTED, "memory": MOST_BYTES, "disk": MOST_BYTES}
        at = f"/api/groups/{team.pk}/quota/"
        assert api.put(at, most, format="json").json() == most
        assert api.get(at).json() == most

    def test_one_is_set_and_lifted_and_the_user_sees_what_is_left(
        self, api: APIClient, sam: User, team: Group
    ) -> None:
        web = domain()
        granted(sam, Role.OPERATOR, web)
        api.put(f"/api/groups/{team.pk}/quota/", NONE | {"domains": 1}, format="json")
        told = api.put(f"/api/users/{sam.pk}/quota/", FULL, format="json").json()
        room = told.pop("room")
        assert told == FULL
        assert room["domains"] == {"limit": 1, "group": "team", "used": 1, "left": 0}
        assert room["disk"] == {"limit": 200 * GIB, "group": None, "used": None, "left": None}
        assert program_of(sam, scope="read").get("/api/quota/").json() == room
        lifted = api.put(f"/api/users/{sam.pk}/quota/", NONE, format="json").json()
        assert lifted["room"]["vcpus"] == {"limit": None, "group": None, "used": web.vcpus, "left": None}
        assert [quota.group for quota in Quota.objects.all()] == [team]


class TestPages:
    @pytest.mark.parametrize("kind", ["users", "groups"])
    def test_what_is_no_limit_is_refused_beside_its_field(
        self, browser: Client, sam: User, team: Group, kind: str
    ) -> None:
        at = f"/{kind}/{(sam if kind == 'users' else team).pk}/quota/"
        wrong = [(field, text) for field in FULL for text in ("-1", "many", "1e999999999", "9" * 400)]
        wrong += [
            ("domains", "1.5"),
            *(("memory", text) for text in ("NaN", "Infinity", "0.001", "1073741825")),
        ]
        for field, text in wrong:
            answer = browser.post(at, {"domains": "3", field: text})
            assert answer.status_code == 422
            page = answer.content.decode()
            assert f'id="id_{field}_error"' in page, (field, text)
            assert re.search(rf'<input [^>]*name="{field}"[^>]* autofocus', page)
        assert not Quota.objects.exists()

    def test_a_superuser_s_page_has_no_form_for_other_administrators(
        self, client: Client, ada: User, otto: User
    ) -> None:
        client.force_login(otto)
        assert "Save quota" not in client.get(f"/users/{ada.pk}/").content.decode()
        assert client.post(f"/users/{ada.pk}/quota/", {"domains": "1"}).status_code == 403
        assert not Quota.objects.exists()

    def test_sizes_are_typed_in_gib(self, browser: Client, sam: User, team: Group) -> None:
        typed = {"domains": "3", "vcpus": "", "memory": "1.5", "disk": "200"}
        for whom, at in ((sam, f"/users/{sam.pk}/"), (team, f"/groups/{team.pk}/")):
            assert browser.post(f"{at}quota/", typed).status_code == 302
            assert quota_of(whom).limits == NONE | {"domains": 3, "memory": 3 * GIB // 2, "disk": 200 * GIB}
            page = browser.get(at).content.decode()
            assert 'name="memory" value="1.50"' in page
            assert 'name="disk" value="200"' in page
            browser.post(f"{at}quota/", {})
        assert not Quota.objects.exists()

    def test_what_the_form_shows_rounded_stays_to_the_byte(
        self, browser: Client, ada: User, team: Group
    ) -> None:
        set_quota(team, {"memory": GIB + 1, "disk": 7}, actor=ada)
        browser.post(f"/groups/{team.pk}/quota/", {"domains": "2", "memory": "1.00", "disk": "0.00"})
        assert quota_of(team).limits == NONE | {"domains": 2, "memory": GIB + 1, "disk": 7}

    def test_one_sees_what_one_has_left(self, client: Client, ada: User, sam: User, team: Group) -> None:
        granted(sam, Role.OPERATOR, domain())
        client.force_login(sam)
        assert "You have no quota" in client.get("/account/quota/").content.decode()
        set_quota(team, {"domains": 8, "disk": 5 * GIB}, actor=ada)
        page = client.get("/account/quota/").content.decode()
        assert "by the group team" in page
        assert '<td class="number text-nowrap">7</td>' in page
        assert "not known" in page


def test_what_is_set_and_lifted_is_in_the_audit_and_what_stays_is_not(ada: User, team: Group) -> None:
    for limits in ({"domains": 3}, {"domains": 3}, {"domains": 4, "disk": GIB}, {}):
        set_quota(team, limits, actor=ada)
    assert quota_of(team).limits == NONE
    rows = AuditEntry.objects.filter(action__startswith="quota").order_by("pk")
    assert [(row.action, row.target_name, row.detail) for row in rows] == [
        ("quota.set", "team", NONE | {"domains": 3}),
        ("quota.set", "team", NONE | {"domains": 4, "disk": GIB}),
        ("quota.lift", "team", {}),
    ]
