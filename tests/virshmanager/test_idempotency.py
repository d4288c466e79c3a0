"""A write that is sent again is done once."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.utils import timezone
from django_redis import get_redis_connection
from rest_framework.test import APIClient

from access.models import ApiToken
from access.services import create_token
from discovery.models import Range
from hosts.models import JoinKey, Operation
from tests.domains.factories import domain

# What the test client answers: a response of Django with `json()`.
Response = Any

pytestmark = pytest.mark.django_db

RANGES = "/api/ranges/"
BODY = {"cidr": "192.0.2.0/28"}


@pytest.fixture(autouse=True)
def nothing_is_kept(with_redis: None) -> None:
    cache.clear()


def post(
    client: APIClient, body: Mapping[str, object], key: str = "a", path: str = "/api/ranges/"
) -> Response:
    return client.post(path, body, format="json", HTTP_IDEMPOTENCY_KEY=key)


def test_a_key_that_is_too_long_is_refused(api: APIClient) -> None:
    assert post(api, BODY, "x" * 256).status_code == 400
    assert not Range.objects.exists()


def test_a_key_used_for_another_request_is_refused(api: APIClient) -> None:
    post(api, BODY)
    answer = post(api, {"cidr": "192.0.2.16/28"})
    assert (answer.status_code, answer.json()["type"]) == (422, "idempotency_key_reused")
    answer = post(api, BODY, path="/api/tokens/")
    assert answer.status_code == 422


def test_a_request_that_still_runs_is_refused(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    repeated = []

    def in_the_middle(cidr: str, **_: object) -> Range:
        repeated.append(post(api, BODY))
        return Range.objects.create(cidr=cidr)

    monkeypatch.setattr("discovery.services.create_range", in_the_middle)
    assert post(api, BODY).status_code == 201
    assert (repeated[0].status_code, repeated[0].json()["type"]) == (409, "request_running")


def test_what_was_refused_may_be_tried_again(api: APIClient) -> None:
    assert post(api, {"cidr": "nonsense"}).status_code == 400
    assert post(api, BODY).status_code == 201


def test_a_repeated_request_is_answered_again_and_done_once(api: APIClient) -> None:
    first, second = post(api, BODY), post(api, BODY)
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert second["Idempotent-Replayed"] == "true"
    assert Range.objects.count() == 1


def test_keys_of_different_callers_do_not_meet(api: APIClient, ada: User) -> None:
    _, text = create_token(user=ada, name="other", scope="administer")
    other = APIClient()
    other.credentials(HTTP_AUTHORIZATION=f"Token {text}")
    post(api, {"label": "one"}, path="/api/join-keys/")
    second = post(other, {"label": "one"}, path="/api/join-keys/")
    assert (second.status_code, "Idempotent-Replayed" in second) == (201, False)


def test_keys_of_sessions_behind_one_password_of_a_proxy_do_not_meet(ada: User) -> None:
    """What a proxy asks of all, and passes on, tells nobody apart."""
    vera = User.objects.create_superuser("vera")
    secrets = []
    for user in (ada, vera):
        client = APIClient(headers={"Authorization": "Basic c2hhcmVk"})
        client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
        answer = post(client, {"label": "one"}, path="/api/join-keys/")
        assert (answer.status_code, "Idempotent-Replayed" in answer) == (201, False)
        secrets.append(answer.json()["join"]["secret"])
    assert len(set(secrets)) == JoinKey.objects.count() == 2


def end_token(_client: APIClient, _ada: User) -> None:
    ApiToken.objects.all().delete()


def let_token_expire(_client: APIClient, _ada: User) -> None:
    ApiToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))


def narrow_token(_client: APIClient, _ada: User) -> None:
    ApiToken.objects.update(scope="read")


def disable(_client: APIClient, ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(is_active=False)


def take_rights(_client: APIClient, ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(is_superuser=False)


@pytest.mark.parametrize(
    ("end", "status"),
    [(end_token, 401), (let_token_expire, 401), (disable, 401), (narrow_token, 403), (take_rights, 403)],
)
def test_who_was_shut_out_does_not_get_his_own_answer_again(
    api: APIClient, ada: User, end: Callable[[APIClient, User], None], status: int
) -> None:
    first = post(api, {}, path="/api/join-keys/")
    end(api, ada)
    for body in ({}, {"label": "another"}):  # nor is he told whether the key was used
        answer = post(api, body, path="/api/join-keys/")
        assert answer.status_code == status
        assert "Idempotent-Replayed" not in answer
        assert first.json()["join"]["secret"] not in answer.content.decode()
    assert JoinKey.objects.count() == 1


def test_after_a_logout_its_session_gets_no_answer_again(ada: User) -> None:
    client = APIClient()
    client.force_login(ada, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert post(client, BODY).status_code == 201
    assert post(client, BODY)["Idempotent-Replayed"] == "true"
    cookie = client.session.session_key
    client.session.flush()
    client.cookies[settings.SESSION_COOKIE_NAME] = str(cookie)
    assert post(client, BODY).status_code == 401


def test_a_page_of_another_origin_gets_no_answer_again(ada: User) -> None:
    """A browser sends the session with what such a page posts; the check of its token comes first."""
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(ada, backend="allauth.account.auth_backends.AuthenticationBackend")
    client.cookies[settings.CSRF_COOKIE_NAME] = token = "x" * 32
    answers = [
        client.post(RANGES, BODY, format="json", headers={"Idempotency-Key": "a", "X-CSRFToken": sent})
        for sent in (token, "")
    ]
    assert [answer.status_code for answer in answers] == [201, 403]


def test_a_secret_is_not_kept_in_clear(api: APIClient) -> None:
    secret = post(api, {}, path="/api/join-keys/").json()["join"]["secret"]
    redis = get_redis_connection()
    kept = [redis.get(name) for name in redis.scan_iter("*idempotency*")]
    assert kept
    assert not any(secret.encode() in value for value in kept)


def test_without_redis_a_write_with_a_key_is_not_done(api: APIClient, no_redis: None) -> None:
    answer = post(api, BODY)
    assert (answer.status_code, answer.json()["type"]) == (503, "redis_unavailable")
    assert not Range.objects.exists()


def test_without_redis_an_operation_is_accepted_once(api: APIClient, no_redis: None) -> None:
    path = f"/api/domains/{domain().pk}/start/"
    first, second = post(api, {}, path=path), post(api, {}, path=path)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"]
    assert Operation.objects.count() == 1


def test_the_key_of_an_operation_is_not_kept_in_redis(api: APIClient) -> None:
    path = f"/api/domains/{domain().pk}/start/"
    first = post(api, {}, path=path)
    Operation.objects.update(state="succeeded")
    second = post(api, {}, path=path)
    assert (first.json()["state"], second.json()["state"]) == ("accepted", "succeeded")
    assert not list(get_redis_connection().scan_iter("*idempotency*"))


def test_deleting_a_domain_is_not_taken_for_its_verb_destroy(api: APIClient) -> None:
    row = domain(state="running")
    assert post(api, {}, path=f"/api/domains/{row.pk}/destroy/").status_code == 202
    answer = api.delete(f"/api/domains/{row.pk}/", HTTP_IDEMPOTENCY_KEY="a")
    assert (answer.status_code, answer.json()["type"]) == (409, "domain_present")
