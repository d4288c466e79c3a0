"""What people and programs do to get in, and to let others in, is recorded; their secrets are not."""

import json
from collections.abc import Callable

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client
from rest_framework.test import APIClient

from access import audit, services
from access.choices import Action
from access.exporting import pieces
from access.models import ApiToken, AuditEntry
from tests.cast import PASSWORD

pytestmark = pytest.mark.django_db

News = Callable[[], list[tuple[str, str, str]]]
CANARY = "canary-4f1c"


def sign_in(client: Client, name: str, password: str) -> None:
    client.post("/account/login/", {"login": name, "password": password}, REMOTE_ADDR="192.0.2.9")


def last() -> AuditEntry:
    return AuditEntry.objects.latest("pk")


def whole_audit() -> str:
    audit.chain_waiting()
    return "".join(pieces(AuditEntry.objects.all())) + repr(list(AuditEntry.objects.values()))


def test_a_wrong_password_is_recorded_without_it(stranger: Client, ada: User, recorded: News) -> None:
    recorded()
    sign_in(stranger, "ada", CANARY)
    assert recorded() == [("login.fail", "ada", "wrong_password")]
    entry = last()
    assert (entry.via, entry.source, entry.actor_id, entry.actor_name) == ("stranger", "192.0.2.9", None, "")
    assert CANARY not in whole_audit()


def test_a_name_that_nobody_has_may_be_a_password_and_is_not_kept(stranger: Client, recorded: News) -> None:
    sign_in(stranger, CANARY, "ada")
    assert recorded() == [("login.fail", "", "wrong_password")]
    assert CANARY not in whole_audit()


def test_a_wrong_second_factor_is_recorded(stranger: Client, ada: User, recorded: News) -> None:
    TOTP.activate(ada, generate_totp_secret())
    sign_in(stranger, "ada", PASSWORD)
    recorded()
    stranger.post("/account/login/second/", {"code": "000000"})
    assert recorded() == [("login.fail", "ada", "wrong_second_factor")]
    assert last().actor_id is None


def test_guesses_that_are_not_looked_at_are_not_recorded(stranger: Client, ada: User) -> None:
    """Else a stranger could fill the disk: what is recorded of him has the rate of his guesses."""
    for _ in range(8):
        sign_in(stranger, "ada", "guess")
    assert AuditEntry.objects.filter(action="login.fail").count() == 5


def test_login_and_logout_are_recorded(stranger: Client, ada: User, recorded: News) -> None:
    recorded()
    sign_in(stranger, "ada", PASSWORD)
    stranger.post("/account/logout/")
    assert recorded() == [("login", "ada", "ok"), ("logout", "ada", "ok")]
    entry = AuditEntry.objects.get(action="login")
    assert (entry.via, entry.source, entry.actor_id, entry.actor_name) == (
        "session",
        "192.0.2.9",
        ada.pk,
        "ada",
    )


def test_a_changed_password_is_recorded(browser: Client, recorded: News) -> None:
    recorded()
    new = f"{CANARY} battery staple"
    asked = {"oldpassword": PASSWORD, "password1": new, "password2": new}
    browser.post("/account/password/change/", asked)
    assert ("password.change", "ada", "ok") in recorded()
    assert CANARY not in whole_audit()


def test_second_factors_that_come_and_go_are_recorded(browser: Client, ada: User, recorded: News) -> None:
    recorded()
    secret = generate_totp_secret()
    TOTP.activate(ada, secret)
    codes = RecoveryCodes.activate(ada)
    browser.post("/account/reauthenticate/", {"password": PASSWORD})
    browser.post("/account/factors/app/deactivate/")
    rows = AuditEntry.objects.filter(action__startswith="factor").order_by("pk")
    assert {row.target_name for row in rows} == {"ada"}
    assert sorted((row.action, row.detail["factor"]) for row in rows) == [
        ("factor.add", "recovery_codes"),
        ("factor.add", "totp"),
        ("factor.remove", "recovery_codes"),
        ("factor.remove", "totp"),
    ]
    assert (rows[3].actor_name, rows[3].via) == ("ada", "session")
    told = whole_audit()
    assert not [text for text in (secret, *codes.get_unused_codes()) if text in told]


def test_tokens_that_are_made_and_revoked_are_recorded(api: APIClient, ada: User, recorded: News) -> None:
    recorded()
    answer = api.post("/api/tokens/", {"name": "backup", "expires_in": 3600}, format="json").json()
    api.delete(f"/api/tokens/{answer['id']}/")
    assert recorded() == [("token.create", "backup", "ok"), ("token.revoke", "backup", "ok")]
    entry = last()
    assert (entry.actor_name, entry.via, entry.via_name) == ("ada", "token", "tests")
    assert answer["token"] not in whole_audit()
    assert answer["token"][:8] not in whole_audit()


def test_a_token_of_the_command_is_recorded_as_made_on_the_server(ada: User, recorded: News) -> None:
    recorded()
    services.create_token_for("ada", name="cron", scope="read")
    assert recorded() == [("token.create", "cron", "ok")]
    told = dict(last().detail)
    assert told.pop("expiry").endswith("+00:00")
    assert told == {"user": "ada", "scope": "read"}


def test_the_first_administrator_is_recorded(stranger: Client, recorded: News) -> None:
    address = services.create_setup_link()
    secret = address.rstrip("/").rsplit("/", 1)[-1]
    new = f"{CANARY} battery staple"
    stranger.post(address, {"username": "ada", "password1": new, "password2": new})
    assert recorded() == [
        ("setup_link.create", "", "ok"),
        ("user.create", "ada", "ok"),
        ("login", "ada", "ok"),
    ]
    told = whole_audit()
    assert not [text for text in (secret, CANARY, stranger.session.session_key) if str(text) in told]


def test_what_is_done_in_the_admin_is_recorded(browser: Client, sam: User, recorded: News) -> None:
    group = Group.objects.create(name="operators")
    recorded()
    browser.post(f"/admin/auth/group/{group.pk}/change/", {"name": "viewers"})
    assert recorded() == [("group.change", "viewers", "ok"), ("admin.change", "viewers", "ok")]
    assert last().detail == {"fields": ["Name"]}
    chosen = {"action": "delete_selected", "_selected_action": [sam.pk], "post": "yes"}
    browser.post("/admin/auth/user/", chosen)
    assert ("user.delete", "sam", "ok") in recorded()


def test_what_is_not_permitted_is_recorded_of_who_has_an_account(
    stranger: Client, sam: User, recorded: News
) -> None:
    recorded()
    stranger.post("/api/tokens/", {"name": "x"})
    assert recorded() == []
    _, text = services.create_token(user=sam, name="of sam")
    recorded()
    headers = {"Authorization": f"Token {text}"}
    for method in (stranger.get, stranger.post):
        assert method("/api/tokens/", headers=headers).status_code == 403
    assert recorded() == [("access.refuse", "/api/tokens/", "scope_too_narrow")]
    assert (last().actor_name, last().via_name, last().detail) == ("sam", "of sam", {"method": "POST"})
    stranger.force_login(sam, backend="allauth.account.auth_backends.AuthenticationBackend")
    recorded()
    for path in ("/api/tokens/", "/discovery/ranges/add/"):
        for method in (stranger.get, stranger.post):
            assert method(path).status_code == 403
    assert recorded() == [
        ("access.refuse", path, "permission_denied") for path in ("/api/tokens/", "/discovery/ranges/add/")
    ]


@pytest.mark.parametrize("name", ["x" * 100_000, "a\0b\x1b[31m\r\nX: y\u202e\ud800", "<script>'\"{{7*7}}"])
def test_a_hostile_text_is_stored_bounded_and_harmless(name: str) -> None:
    audit.record(
        Action.HOST_DENY, audit.Target("host", name, name), problem=name, detail={"a": name, "b": [name]}
    )
    entry = AuditEntry.objects.get()
    kept = [entry.target_id, entry.target_name, entry.problem, entry.detail["a"], *entry.detail["b"]]
    assert max(map(len, kept)) <= 255
    assert all(text.isprintable() for text in kept)
    audit.chain_waiting()
    assert audit.verify().broken is None
    (line,) = "".join(pieces(AuditEntry.objects.all())).splitlines()
    assert json.loads(line)["target"]["name"] == entry.target_name


def test_a_user_who_is_gone_is_still_named(ada: User, sam: User, api: APIClient) -> None:
    services.create_token(user=sam, name="of sam")
    sam.delete()
    assert not ApiToken.objects.filter(name="of sam").exists()
    actions = AuditEntry.objects.filter(target_name__in=["sam", "of sam"]).order_by("pk")
    assert [row.action for row in actions] == ["user.create", "token.create", "token.revoke", "user.delete"]


def test_a_command_says_who_called_it(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/srv/manage.py", "api_token", "ada"])
    call_command("api_token", "ada")
    entry = last()
    assert (entry.via, entry.via_name, entry.actor_id) == ("command", "api_token", None)
    assert entry.actor_name
