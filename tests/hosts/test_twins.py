"""Hosts whose libvirts have one UUID: each says so, and what to do; none that is alone does."""

from uuid import UUID, uuid4

import pytest
from django.utils import timezone

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


def test_each_names_the_others_and_what_to_do() -> None:
    a_host(hostname="a", libvirt_uuid=SHARED, address="192.0.2.1")
    a_host(hostname="b", libvirt_uuid=SHARED, address="192.0.2.2")
    assert services.note_twins() == 2
    reasons = dict(Host.objects.values_list("hostname", "reason"))
    assert "b (192.0.2.2)" in reasons["a"]
    assert "a (192.0.2.1)" in reasons["b"]
    for reason in reasons.values():
        assert str(SHARED) in reason
        assert "host_uuid" in reason


def test_of_very_many_some_are_named() -> None:
    for number in range(6):
        a_host(hostname=f"h{number}", libvirt_uuid=SHARED)
    services.note_twins()
    assert "h1 (127.0.0.1), h2 (127.0.0.1), h3 (127.0.0.1) (+2)" in Host.objects.get(hostname="h0").reason


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
