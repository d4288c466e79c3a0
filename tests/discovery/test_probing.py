"""The probe of known hypervisors: whatever one of them is or does, all others are looked after."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from discovery import services
from discovery.choices import CrawlState, Phase
from discovery.models import Address, Range
from hosts import services as hosts_services
from hosts.choices import Trust
from hosts.models import Host
from hosts.services.probing import ProbeOutcome

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_defect_that_one_host_brings_to_light_leaves_no_other_unwatched(
    make_range: Callable[..., Range], monkeypatch: pytest.MonkeyPatch
) -> None:
    range_ = make_range("127.0.78.0/28")
    for number in (1, 2, 3):
        Host.objects.create(uuid=uuid4(), address=f"127.0.78.{number}", trust=Trust.OWNED)

    def probe(host: Host) -> ProbeOutcome:
        if host.address.endswith(".1"):
            raise RuntimeError("a defect")
        return ProbeOutcome(answered=True)

    monkeypatch.setattr(hosts_services, "probe", probe)
    ended = services.carry(services.request_crawl(range_, Phase.PROBE, here=True))
    assert (ended.state, ended.done) == (CrawlState.SUCCEEDED, 3)
    assert list(Address.objects.values_list("ip", flat=True)) == ["127.0.78.2", "127.0.78.3"]


def test_a_host_whose_stream_lives_is_not_asked_and_one_whose_stream_ended_is(
    make_range: Callable[..., Range], monkeypatch: pytest.MonkeyPatch
) -> None:
    range_ = make_range("127.0.78.0/28")
    asked: list[str] = []
    now = timezone.now()
    for number, (seconds, trust) in enumerate([(1, "owned"), (30, "owned"), (1, "found")], 1):
        watched = now - timedelta(seconds=seconds)
        Host.objects.create(uuid=uuid4(), address=f"127.0.78.{number}", trust=trust, watched_at=watched)

    def probe(host: Host) -> ProbeOutcome:
        asked.append(host.address)
        return ProbeOutcome(answered=True)

    monkeypatch.setattr(hosts_services, "probe", probe)
    services.carry(services.request_crawl(range_, Phase.PROBE, here=True))
    assert sorted(asked) == ["127.0.78.2", "127.0.78.3"]
    assert Address.objects.filter(kind="hypervisor").count() == 3
