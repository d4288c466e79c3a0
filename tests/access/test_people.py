"""Users, groups and grants: by the API and on pages, and why somebody may do something."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from rest_framework.test import APIClient

from access.choices import Role, Target
from access.models import AuditEntry, Grant, Place
from access.services import create_token
from domains.models import Domain
from hosts.models import Host
from tests.cast import PASSWORD
from tests.domains.factories import domain

from .granting import granted

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]


@pytest.fixture
def web(db: None) -> Domain:
    return domain(name="web", tags=["prod"])


@pytest.fixture
def team(db: None) -> Group:
    return Group.objects.create(name="team")


@pytest.fixture
def otto(db: None) -> APIClient:
    """A program of Otto's, who administers everything and is no superuser."""
    user = User.objects.create_user("otto")
    granted(user, Role.ADMINISTRATOR)
    _, token = create_token(user=user, name="tests", scope="administer")
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client


class TestUsers:
    def test_a_weak_password_and_a_name_that_is_taken_are_refused(self, api: APIClient, sam: User) -> None:
        weak = api.post("/api/users/", {"name": "vera", "password": "12345"}, format="json")
        taken = api.post("/api/users/", {"name": "sam", "password": PASSWORD}, format="json")
        assert (weak.status_code, taken.status_code) == (400, 400)
        assert not User.objects.filter(username="vera").exists()

    def test_a_superuser_is_disabled_and_changed_by_superusers_alone(
        self, otto: APIClient, ada: User, team: Group
    ) -> None:
        for change in ({"active": False}, {"groups": [team.pk]}):
            assert otto.patch(f"/api/users/{ada.pk}/", change, format="json").status_code == 403
        ada.refresh_from_db()
        assert (ada.is_active, ada.groups.count()) == (True, 0)

    def test_nobody_makes_a_superuser(self, otto: APIClient) -> None:
        body = {"name": "vera", "password": PASSWORD, "superuser": True, "is_superuser": True}
        assert otto.post("/api/users/", body, format="json").json()["superuser"] is False

    def test_nobody_disables_himself(self, api: APIClient, ada: User) -> None:
        assert api.patch(f"/api/users/{ada.pk}/", {"active": False}, format="json").status_code == 400
        ada.refresh_from_db()
        assert ada.is_active

    def test_one_is_made_disabled_and_let_in_again(self, api: APIClient, team: Group) -> None:
        body = {"name": "vera", "password": PASSWORD, "groups": [team.pk]}
        made = api.post("/api/users/", body, format="json")
        assert made.status_code == 201
        assert made.json()["groups"] == [team.pk]
        assert "password" not in made.json()
        assert Client().login(username="vera", password=PASSWORD)
        at = f"/api/users/{made.json()['id']}/"
        assert api.patch(at, {"active": False}, format="json").json()["active"] is False
        assert not Client().login(username="vera", password=PASSWORD)
        assert api.patch(at, {"active": True}, format="json").json()["active"] is True
        actions = AuditEntry.objects.filter(target_name="vera").values_list("action", flat=True)
        actions = actions.exclude(action__startswith="login")
        assert list(actions.order_by("pk")) == ["user.create", "group.join", "user.change", "user.change"]


class TestGrants:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"target": "domain"},
            {"target": "domain", "object_id": 2**62},
            {"target": "domain", "object_id": 2**70},
            {"target": "tag"},
            {"target": "everything", "tag": "prod"},
            {"target": "host", "tag": "prod"},
            {"target": "everything", "role": "owner"},
            {"target": "everything", "user": None},
            {"target": "everything", "group": 1},
            {"target": "all"},
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, api: APIClient, sam: User, team: Group, wrong: dict[str, Any]
    ) -> None:
        if "group" in wrong:
            wrong = wrong | {"group": team.pk}
        body = {"user": sam.pk, "role": "viewer"} | wrong
        assert api.post("/api/grants/", body, format="json").status_code == 400
        assert not Grant.objects.exists()

    def test_one_is_given_replaced_and_taken_back(self, api: APIClient, sam: User, web: Domain) -> None:
        body = {"user": sam.pk, "role": "viewer", "target": "domain", "object_id": web.pk}
        first = api.post("/api/grants/", body, format="json")
        assert (first.status_code, first.json()["name"]) == (201, "web")
        again = api.post("/api/grants/", body | {"role": "operator"}, format="json")
        assert (again.json()["id"], again.json()["role"]) == (first.json()["id"], "operator")
        listed = api.get(f"/api/grants/?user={sam.pk}").json()["results"]
        assert [(row["role"], row["name"]) for row in listed] == [("operator", "web")]
        assert api.delete(f"/api/grants/{first.json()['id']}/").status_code == 204
        assert not Grant.objects.exists()
        told = AuditEntry.objects.filter(action__startswith="grant").order_by("pk")
        assert [row.action for row in told] == ["grant.create", "grant.change", "grant.revoke"]

    def test_a_session_is_asked_who_it_is(self, ada: User, sam: User) -> None:
        browser = Client()
        browser.force_login(ada, backend="allauth.account.auth_backends.AuthenticationBackend")
        body = {"user": sam.pk, "role": "viewer", "target": "everything"}
        answer = browser.post("/api/grants/", body, content_type="application/json")
        assert answer.json()["type"] == "reauthentication_required"
        page = browser.post(f"/users/{sam.pk}/grants/", {"role": 1, "target": "everything"})
        assert page.status_code == 302
        assert page["Location"].startswith("/account/reauthenticate/")
        assert not Grant.objects.exists()

    def test_a_group_that_is_deleted_takes_its_grants_along(
        self, api: APIClient, sam: User, team: Group, web: Domain
    ) -> None:
        sam.groups.add(team)
        granted(team, Role.VIEWER, web)
        assert api.delete(f"/api/groups/{team.pk}/").status_code == 204
        assert not Grant.objects.exists()
        assert User.objects.filter(pk=sam.pk).exists()


class TestExplain:
    def ask(self, api: APIClient, user: User, verb: str, about: Domain | None) -> dict[str, Any]:
        what = f"&target=domain&id={about.pk}" if about else ""
        answer = api.get(f"/api/explain/?user={user.pk}&verb={verb}{what}")
        assert answer.status_code == 200, answer.content
        found: dict[str, Any] = answer.json()
        return found

    @pytest.mark.parametrize(
        ("question", "status"),
        [
            ({"verb": "dance"}, 400),
            ({"verb": "adopt", "target": "domain", "id": 1}, 400),
            ({"verb": "start", "target": "domain", "id": 2**62}, 404),
            ({"verb": "start", "user": 2**62}, 404),
            ({"verb": "start", "target": "tag"}, 400),
        ],
    )
    def test_a_question_without_sense(
        self, api: APIClient, sam: User, question: dict[str, Any], status: int
    ) -> None:
        assert api.get("/api/explain/", {"user": sam.pk} | question).status_code == status

    def test_it_says_what_is_missing(self, api: APIClient, sam: User, web: Domain) -> None:
        assert self.ask(api, sam, "start", web)["reason"] == "nothing"
        granted(sam, Role.VIEWER, web)
        found = self.ask(api, sam, "start", web)
        assert (found["allowed"], found["reason"], found["needs"]) == (False, "too_little", "operator")
        assert [(row["name"], row["enough"]) for row in found["grants"]] == [("web", False)]

    def test_it_says_by_what(self, api: APIClient, sam: User, team: Group, web: Domain) -> None:
        sam.groups.add(team)
        granted(sam, Role.VIEWER, web)
        granted(team, Role.OPERATOR, "prod")
        granted(team, Role.OPERATOR, "another")
        found = self.ask(api, sam, "start", web)
        assert (found["allowed"], found["reason"]) == (True, "granted")
        assert [(row["group"], row["target"], row["name"]) for row in found["grants"]] == [
            ("team", "tag", "prod"),
            (None, "domain", "web"),
        ]
        assert self.ask(api, sam, "start", None)["reason"] == "nothing"

    def test_the_disabled_and_the_superuser(self, api: APIClient, ada: User, sam: User, web: Domain) -> None:
        granted(sam, Role.ADMINISTRATOR)
        User.objects.filter(pk=sam.pk).update(is_active=False)
        assert (found := self.ask(api, sam, "see", web))["reason"] == "disabled"
        assert not found["allowed"]
        assert (found := self.ask(api, ada, "undefine", web))["reason"] == "superuser"
        assert found["allowed"]

    def test_the_page(self, browser: Client, sam: User, web: Domain) -> None:
        question = {"user": "sam", "verb": "start", "target": "domain", "name": "web"}
        assert "sam may not" in browser.get("/explain/", question).content.decode()
        granted(sam, Role.OPERATOR, web.host)
        page = browser.get("/explain/", question).content.decode()
        assert "sam may do" in page
        assert str(web.host) in page
        nobody = browser.get("/explain/", question | {"user": "nobody"})
        assert nobody.status_code == 422

    def test_the_page_of_an_object_asks_about_it(self, browser: Client, web: Domain) -> None:
        for thing, target in ((web, "domain"), (web.host, "host")):
            question = f"?target={target}&amp;name={thing.uuid}"
            assert question in browser.get(f"/{target}s/{thing.pk}/").content.decode()
            form = browser.get("/explain/", {"target": target, "name": str(thing.uuid)})
            assert form.status_code == 200
            assert f'value="{thing.uuid}"' in form.content.decode()


class TestGroups:
    def test_no_name_a_long_one_and_one_that_is_taken_are_refused(self, api: APIClient, team: Group) -> None:
        Group.objects.create(name="taken")
        for name in ("", "taken", "x" * 151, None):
            answer = api.patch(f"/api/groups/{team.pk}/", {"name": name}, format="json")
            assert answer.status_code == 400
        team.refresh_from_db()
        assert team.name == "team"
        assert not AuditEntry.objects.filter(action="group.change").exists()

    def test_one_is_renamed_and_keeps_its_members_and_grants(
        self, api: APIClient, team: Group, sam: User, web: Domain
    ) -> None:
        sam.groups.add(team)
        granted(team, Role.VIEWER, web)
        answer = api.patch(f"/api/groups/{team.pk}/", {"name": "night shift"}, format="json")
        assert answer.json() == {"id": team.pk, "name": "night shift", "members": 1}
        assert list(sam.groups.values_list("name", flat=True)) == ["night shift"]
        assert team.grants.count() == 1
        row = AuditEntry.objects.get(action="group.change")
        assert (row.target_name, row.detail, row.actor_name) == ("night shift", {"was": "team"}, "ada")


class TestPages:
    def test_a_grant_by_name_or_not_at_all(self, browser: Client, sam: User, web: Domain) -> None:
        at = f"/users/{sam.pk}/grants/"
        domain(name="twin"), domain(name="twin")
        for name in ("", "no-such", "twin"):
            assert browser.post(at, {"role": 2, "target": "domain", "name": name}).status_code == 422
        assert not Grant.objects.exists()
        for name in ("web", str(web.uuid)):
            assert browser.post(at, {"role": 2, "target": "domain", "name": name}).status_code == 302
        assert Grant.objects.get().place == Place(Target.DOMAIN, object_id=web.pk)
        page = browser.get(f"/users/{sam.pk}/").content.decode()
        assert "Operator" in page
        assert f"/domains/{web.pk}/" in page
        browser.post(f"/grants/{Grant.objects.get().pk}/revoke/")
        assert not Grant.objects.exists()

    def test_a_user_is_made_put_into_a_group_and_disabled(self, browser: Client, team: Group) -> None:
        told = {"username": "vera", "password1": PASSWORD, "password2": PASSWORD}
        assert browser.post("/users/create/", told).status_code == 302
        vera = User.objects.get(username="vera")
        browser.post(f"/users/{vera.pk}/groups/", {"groups": [team.pk, "junk", "9" * 30]})
        browser.post(f"/users/{vera.pk}/active/", {"active": "false"})
        vera.refresh_from_db()
        assert (list(vera.groups.all()), vera.is_active) == ([team], False)
        page = browser.get("/users/").content.decode()
        assert "vera" in page
        assert "Disabled" in page

    def test_a_group_is_renamed_to_what_is_free(self, browser: Client, team: Group) -> None:
        Group.objects.create(name="taken")
        at = f"/groups/{team.pk}/rename/"
        for name in ("", "taken", "x" * 151):
            assert browser.post(at, {"name": name}).status_code == 422
        team.refresh_from_db()
        assert team.name == "team"
        assert 'value="team"' in browser.get(at).content.decode()
        assert browser.post(at, {"name": "night shift"})["Location"] == f"/groups/{team.pk}/"
        assert "night shift" in browser.get(f"/groups/{team.pk}/").content.decode()

    def test_a_group_is_made_granted_to_and_deleted(self, browser: Client, team: Group) -> None:
        assert browser.post("/groups/create/", {"name": "team"}).status_code == 422
        assert browser.post("/groups/create/", {"name": "other"}).status_code == 302
        browser.post(f"/groups/{team.pk}/grants/", {"role": 1, "target": "tag", "name": "prod"})
        assert team.grants.get().place == Place(Target.TAG, "prod")
        assert "prod" in browser.get(f"/groups/{team.pk}/").content.decode()
        browser.post(f"/groups/{team.pk}/delete/")
        assert list(Group.objects.values_list("name", flat=True)) == ["other"]

    def test_a_grant_on_what_was_forgotten_is_shown_as_that(
        self, browser: Client, sam: User, web: Domain
    ) -> None:
        granted(sam, Role.VIEWER, web)
        web.delete()
        assert "was forgotten" in browser.get(f"/users/{sam.pk}/").content.decode()


def test_who_sees_a_domain_alone_is_told_nothing_of_hosts(client: Client, sam: User, web: Domain) -> None:
    granted(sam, Role.VIEWER, web)
    client.force_login(sam)
    overview = client.get("/").content.decode()
    assert "Domains running" in overview
    assert "Hosts online" not in overview
    assert "No host is owned yet" not in overview
    hosts = client.get("/hosts/").content.decode()
    assert "No host to see" in hosts
    assert "put a join.json" not in hosts
    assert "/explain/" not in client.get(f"/domains/{web.pk}/").content.decode()


def test_why_a_host_is_silent_is_told_to_who_sees_the_host(client: Client, sam: User, web: Domain) -> None:
    why = "Two machines show this identity (192.0.2.7, 192.0.2.8)"
    Host.objects.update(last_seen=None, reason=why)
    by_domain = granted(sam, Role.OPERATOR, web)
    client.force_login(sam)
    silent = "does not tell its domains now"
    page = client.get(f"/domains/{web.pk}/").content.decode()
    assert (silent in page, why in page) == (True, False)
    by_domain.delete()
    granted(sam, Role.VIEWER, web.host)
    page = client.get(f"/domains/{web.pk}/").content.decode()
    assert (silent in page, why in page) == (True, True)
