"""How far a host has come: each state is shown in the list and on its page, with what to do next."""

import pytest
from django.test import Client
from django.utils import timezone

from hosts import services
from hosts.choices import Trust
from hosts.errors import sentence
from hosts.identify import Identity
from hosts.models import Host, HostAddress

from .factories import a_host

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]

VERBS = {"adopt", "approve", "deny", "retire"}


def because(problem: str) -> dict[str, str]:
    return {"problem": problem, "reason": sentence(problem)}


@pytest.mark.parametrize(
    ("facts", "label", "advice", "offered"),
    [
        ({"trust": Trust.FOUND} | because("no_join_key"), "Found", "virshmanagerd code", {"adopt", "deny"}),
        (
            {"trust": Trust.FOUND} | because("join_key_expired"),
            "Found",
            "Its join key has expired.",
            {"adopt", "deny"},
        ),
        (
            {"trust": Trust.PENDING} | because("join_key_pending"),
            "Waiting for approval",
            "waits for your approval",
            {"adopt", "approve", "deny"},
        ),
        (
            {"trust": Trust.PENDING, "approved_at": timezone.now()} | because("unreachable"),
            "Waiting for approval",
            "It was let in, and is owned as soon as it answers. It cannot be reached.",
            {"adopt", "approve", "deny"},
        ),
        (
            {"trust": Trust.DENIED} | because("denied"),
            "Denied",
            "not spoken to until a person approves or adopts it",
            {"adopt", "approve"},
        ),
        (
            {"trust": Trust.RETIRED} | because("retired"),
            "Retired",
            "comes back only when a person approves or adopts it",
            {"adopt", "approve"},
        ),
        ({"trust": Trust.OWNED}, "Online", "", {"retire"}),
    ],
)
def test_each_state_is_shown_with_what_to_do(
    browser: Client, facts: dict[str, object], label: str, advice: str, offered: set[str]
) -> None:
    host = a_host(last_seen=timezone.now(), **facts)  # not when the tests are collected, which is long ago
    row = browser.get(f"/hosts/{host.pk}/row/").content.decode()
    page = browser.get(f"/hosts/{host.pk}/").content.decode()
    assert f"</span>{label}</span>" in row
    assert f"</span>{label}</span>" in page
    assert advice in page
    assert {verb for verb in VERBS if f"/hosts/{host.pk}/{verb}/" in page} == offered


@pytest.mark.parametrize("trust", [Trust.DENIED, Trust.RETIRED])
def test_a_host_that_is_not_spoken_to_is_not_left_at_an_address_that_it_has_no_more(trust: Trust) -> None:
    host = a_host(trust=trust, address="192.0.2.7", **because(trust))
    meeting = services.meet("192.0.2.8", 16511, Identity(host.uuid, host.public_key_sha256, b"", "unclaimed"))
    assert (meeting.outcome, meeting.reason) == (trust, sentence(trust))
    host = Host.objects.get()
    assert (host.address, host.port, host.trust, host.problem) == ("192.0.2.8", 16511, trust, trust)
    assert HostAddress.objects.get().ip == "192.0.2.8"
