"""`Prefer: wait`: who is shut out while he waits hears no verdict."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from access.choices import Role
from access.models import ApiToken, Grant
from access.services import create_token
from hosts.models import Operation
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
def test_the_verdict_is_for_him_who_may_still_see_it(
    sam: User, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None], status: int
) -> None:
    row = domain(state="shutoff")
    granted(sam, Role.OPERATOR, row)
    _, text = create_token(user=sam, name="of sam", scope="operate")

    def wait_for(operation: Operation, _seconds: float) -> Operation:
        meanwhile()
        return operation

    monkeypatch.setattr("hosts.services.wait_for", wait_for)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {text}", HTTP_PREFER="wait=10")
    answer = client.post(f"/api/domains/{row.pk}/start/", {}, format="json")
    assert answer.status_code == status
    assert (str(Operation.objects.get().pk) in answer.content.decode()) == (status == 202)
