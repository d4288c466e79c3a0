"""`Prefer: wait`: who is shut out while he waits does not wait on, and hears no verdict."""

import time
from collections.abc import Callable
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from access.choices import Role
from access.models import ApiToken, Grant
from access.services import create_token
from domains.models import Domain
from hosts.choices import OperationState
from hosts.models import Operation
from hosts.services.operations import waiting
from hosts.services.operations.settling import end
from tests.access.granting import granted

from .factories import domain

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]


def nothing() -> None:
    pass


def revoke_token() -> None:
    ApiToken.objects.all().delete()


def disable_user() -> None:
    User.objects.update(is_active=False)


def take_grants() -> None:
    Grant.objects.all().delete()


@pytest.mark.parametrize(
    ("meanwhile", "status"), [(revoke_token, 401), (disable_user, 401), (take_grants, 404), (nothing, 202)]
)
def test_he_waits_for_as_long_as_he_may_see_it(
    sam: User, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None], status: int
) -> None:
    row = domain(state="shutoff")
    granted(sam, Role.OPERATOR, row)
    _, text = create_token(user=sam, name="of sam", scope="operate")

    def carry(*_: object, **__: object) -> bool:
        meanwhile()
        return True

    monkeypatch.setattr(waiting, "carry", carry)
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.05)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {text}", HTTP_PREFER=f"wait={2 if status == 202 else 20}")
    begun = time.monotonic()
    answer = client.post(f"/api/domains/{row.pk}/start/", {}, format="json")
    assert time.monotonic() - begun < 15
    assert answer.status_code == status
    assert (str(Operation.objects.get().pk) in answer.content.decode()) == (status == 202)


@pytest.mark.parametrize("by_tag", [True, False])
def test_he_hears_what_became_of_a_domain_that_is_gone_by_it(
    sam: User, monkeypatch: pytest.MonkeyPatch, *, by_tag: bool
) -> None:
    row = domain(state="running", id=1, persistent=False, tags=["prod"])
    granted(sam, Role.OPERATOR, "prod" if by_tag else row)
    _, text = create_token(user=sam, name="of sam", scope="operate")

    def carry(pk: UUID, **_: object) -> bool:
        Domain.objects.all().delete()
        end(Operation.objects.get(pk=pk), OperationState.SUCCEEDED)
        return True

    monkeypatch.setattr(waiting, "carry", carry)
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {text}", HTTP_PREFER="wait=10")
    answer = client.post(f"/api/domains/{row.pk}/shutdown/", {}, format="json")
    assert (answer.status_code, answer.json().get("state")) == (200, "succeeded")
    assert client.get(answer.headers["Location"]).json()["state"] == "succeeded"
    # A role on the domain itself is known still; of tags that are gone what others did is theirs to see.
    Operation.objects.update(actor=None)
    assert client.get(answer.headers["Location"]).status_code == (404 if by_tag else 200)
