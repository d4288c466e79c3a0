"""Hosts whose libvirts have one UUID: each says so, and what to do; none that is alone does."""

from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from access.choices import Role, Target
from access.models import Grant
from hosts import services
from hosts.choices import Trust
from hosts.models import Host
from hosts.payloads import host_facts
from hosts.services.refreshing import Report, store

from .factories import a_host, told_host

pytestmark = pytest.mark.django_db
SHARED = UUID("03000200-0400-0500-0006-000700080009")  # of many a cheap board


def problems() -> dict[str, str]:
    return dict(Host.objects.values_list("hostname", "problem"))


def test_who_is_alone_or_not_ours_has_no_twin() -> None:
    a_host(hostname="a", libvirt_uuid=SHARED)
    a_host(hostname="b", libvirt_uuid=uuid4())
    a_host(hostname="c")
    a_host(hostname="d")
    a_host(hostname="e", libvirt_uuid=SHARED, trust=Trust.RETIRED)
    assert services.note_twins() == 0
    assert set(problems().values()) == {""}


def test_each_says_what_to_do_and_its_page_names_the_other(browser: Client) -> None:
    first = a_host(hostname="a", libvirt_uuid=SHARED, address="192.0.2.1")
    a_host(hostname="b <b>", libvirt_uuid=SHARED, address="192.0.2.2")
    assert services.note_twins() == 2
    for reason in Host.objects.values_list("reason", flat=True):
        assert str(SHARED) in reason
        assert "host_uuid" in reason
    page = browser.get(f"/hosts/{first.pk}/trust/").content.decode()
    assert "b &lt;b&gt;" in page
    assert "192.0.2.2" in page


def test_who_sees_one_of_them_is_not_told_of_the_other(django_user_model: type[User]) -> None:
    vera = django_user_model.objects.create_user("vera")
    first, second = (a_host(hostname=name, libvirt_uuid=SHARED) for name in "ab")
    Grant.objects.create(user=vera, target=Target.HOST, object_id=first.pk, role=Role.VIEWER)
    assert not first.twins(vera)
    Grant.objects.create(user=vera, target=Target.HOST, object_id=second.pk, role=Role.VIEWER)
    assert list(first.twins(django_user_model.objects.get(pk=vera.pk))) == [second]


def test_a_worse_problem_stays() -> None:
    a_host(hostname="a", libvirt_uuid=SHARED, problem="libvirt_down", reason="It is down.")
    a_host(hostname="b", libvirt_uuid=SHARED)
    services.note_twins()
    assert problems() == {"a": "libvirt_down", "b": "duplicate_libvirt_uuid"}


def test_a_good_answer_does_not_hide_it_and_the_cure_lifts_it_from_both() -> None:
    first = a_host(hostname="a", libvirt_uuid=SHARED, last_seen=timezone.now())
    second = a_host(hostname="b", libvirt_uuid=SHARED)
    services.note_twins()
    first.refresh_from_db()
    store(first, Report(host_facts(told_host(first.uuid, hostname="a", uuid=str(SHARED))), domains=None))
    assert set(problems().values()) == {"duplicate_libvirt_uuid"}
    second.refresh_from_db()
    store(second, Report(host_facts(told_host(second.uuid, hostname="b", uuid=str(uuid4()))), domains=None))
    assert services.note_twins() == 0
    assert problems() == {"a": "", "b": ""}
    assert set(Host.objects.values_list("reason", flat=True)) == {""}
