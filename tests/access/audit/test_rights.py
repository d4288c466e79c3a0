"""Who may do what, and who changed that, is recorded however it is changed."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from access.choices import Role
from access.models import AuditEntry, Grant
from tests.access.granting import granted
from tests.hosts.factories import a_host

pytestmark = pytest.mark.django_db

News = Callable[[], list[tuple[str, str, str]]]


def last() -> AuditEntry:
    return AuditEntry.objects.latest("pk")


def details() -> list[dict[str, str]]:
    return [dict(entry.detail) for entry in AuditEntry.objects.filter(action__startswith="g").order_by("pk")]


def test_grants_are_recorded_with_role_and_what_they_cover(sam: User, recorded: News) -> None:
    recorded()
    grant = granted(sam, Role.VIEWER, "web")
    Grant.objects.filter(pk=grant.pk).get().delete()
    assert recorded() == [("grant.create", "sam", "ok"), ("grant.revoke", "sam", "ok")]
    assert last().detail == {"grant": grant.pk, "role": "viewer", "on": "tag web"}
    assert (last().target_type, last().target_id) == ("user", str(sam.pk))


def test_a_grant_on_a_host_is_recorded_by_the_name_it_had(sam: User) -> None:
    host = a_host(hostname="hv-01")
    granted(sam, Role.VIEWER, host)
    assert (last().detail["on"], last().detail["name"]) == (f"host {host.pk}", "hv-01")
    host.delete()
    Grant.objects.get().delete()
    assert "name" not in last().detail


def test_a_grant_of_a_group_that_changes_is_recorded(recorded: News) -> None:
    group = Group.objects.create(name="night shift")
    grant = granted(group, Role.VIEWER)
    grant.role = Role.OPERATOR
    grant.save()
    assert recorded() == [
        (f"{word}", "night shift", "ok") for word in ("group.create", "grant.create", "grant.change")
    ]
    assert last().detail == {"grant": grant.pk, "role": "operator", "on": "everything"}


def test_grants_that_end_with_their_user_are_recorded(sam: User, recorded: News) -> None:
    granted(sam, Role.OPERATOR)
    recorded()
    sam.delete()
    assert recorded() == [("grant.revoke", "sam", "ok"), ("user.delete", "sam", "ok")]


def test_members_are_recorded_from_both_ends(ada: User, sam: User, recorded: News) -> None:
    first, second = (Group.objects.create(name=name) for name in ("first", "second"))
    recorded()
    sam.groups.add(first, second)
    first.user_set.add(ada, sam)  # sam is in it already
    sam.groups.remove(second)
    first.user_set.clear()
    deeds = [(action, name) for action, name, _ in recorded()]
    joined, left = ("group.join", "sam"), ("group.leave", "sam")
    assert deeds[:4] == [joined, joined, ("group.join", "ada"), left]
    assert sorted(deeds[4:]) == [("group.leave", "ada"), left]
    assert sorted(told["group"] for told in details()[2:4]) == ["first", "second"]
    assert [told["group"] for told in details()[4:]] == ["first", "second", "first", "first"]


def test_what_makes_a_user_another_is_recorded_and_a_login_is_not(
    ada: User, sam: User, stranger: Client, recorded: News
) -> None:
    recorded()
    sam.is_active, sam.is_superuser = False, True
    sam.save()
    assert recorded() == [("user.change", "sam", "ok")]
    assert last().detail == {"is_active": False, "is_superuser": True}
    sam.email = "sam@example.net"
    sam.save()
    stranger.force_login(ada, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert [action for action, _, _ in recorded()] == ["login"]
