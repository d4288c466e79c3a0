"""What is done to ranges and crawls by people is recorded; what the schedule does is not."""

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from access.models import AuditEntry
from discovery import services
from discovery.choices import Phase
from discovery.models import Crawl, Range

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]

News = Callable[[], list[tuple[str, str, str]]]
CIDR = "198.51.100.0/24"


def test_ranges_are_recorded_by_who_changed_them_and_what(api: APIClient, recorded: News) -> None:
    recorded()
    made = api.post("/api/ranges/", {"cidr": CIDR, "label": "rack 4"}, format="json").json()
    api.patch(f"/api/ranges/{made['id']}/", {"label": "rack 5", "enabled": False}, format="json")
    name = str(Range.objects.get())
    api.delete(f"/api/ranges/{made['id']}/")
    rows = AuditEntry.objects.filter(action__startswith="range").order_by("pk")
    assert [row.action for row in rows] == ["range.create", "range.change", "range.delete"]
    assert rows[1].detail == {"changed": ["enabled", "label"], "enabled": False}
    assert {row.actor_name for row in rows} == {"ada"}
    assert rows[2].target_name == name


def test_crawls_of_people_are_recorded_also_when_refused(api: APIClient, recorded: News) -> None:
    range_ = services.create_range(cidr=CIDR)
    services.request_crawl(range_, Phase.NEW, here=True)
    recorded()
    for expected in (202, 409):
        answer = api.post(f"/api/ranges/{range_.pk}/crawl/", {"phase": "full"}, format="json")
        assert answer.status_code == expected
    crawl = Crawl.objects.get(phase=Phase.FULL)
    for _ in range(2):
        api.post(f"/api/crawls/{crawl.pk}/cancel/")
    assert [(action, result) for action, _, result in recorded()] == [
        ("crawl.start", "ok"),
        ("crawl.start", "crawl_running"),
        ("crawl.cancel", "ok"),
    ]
