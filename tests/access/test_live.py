"""What a live page is told: of what its user may see, and of nothing else."""

from typing import Any

import pytest
from channels.db import database_sync_to_async as in_thread
from channels.layers import get_channel_layer
from django.contrib.auth.models import User
from django.utils import timezone

from access.choices import Role
from domains.models import Domain
from hosts import live
from hosts.choices import TargetType
from hosts.models import Operation
from tests.domains.factories import domain
from tests.hosts.sockets import Socket, socket

from .granting import granted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_server")]

TAG = "web"


def operation_on(about: Domain) -> Operation:
    return Operation.objects.create(
        verb="start",
        host=about.host,
        target_type=TargetType.DOMAIN,
        target_id=about.pk,
        deadline=timezone.now(),
    )


async def tell(sequence: int, kind: live.EventType, key: live.Id) -> None:
    layer: Any = get_channel_layer()
    event = live.Event(
        type="live.event", event=kind, id=key, group=live.FLEET, sequence=sequence, news=sequence
    )
    await layer.group_send(live.FLEET, dict(event))


async def listening(user: User, query: str = "") -> Socket:
    page = await socket(user, query)
    await page.connect()
    assert (await page.told())["type"] == "hello"
    return page


async def heard(page: Socket, *news: tuple[live.EventType, live.Id]) -> list[tuple[str, live.Id]]:
    """Which of these a page is told. The last is of what it sees, so that all others came before."""
    for sequence, (kind, key) in enumerate(news, 1):
        await tell(sequence, kind, key)
    told: list[tuple[str, live.Id]] = []
    while not told or told[-1] != news[-1]:
        message = await page.told()
        told.append((message["type"], message["id"]))
    return told


@pytest.fixture
def two(db: None) -> tuple[Domain, Domain]:
    return domain(tags=[TAG]), domain()


@pytest.mark.parametrize("target", ["domain", "tag", "host"])
async def test_what_was_not_granted_is_not_heard_of(
    sam: User, two: tuple[Domain, Domain], target: str
) -> None:
    here, elsewhere = two
    await in_thread(granted)(sam, Role.VIEWER, {"domain": here, "tag": TAG, "host": here.host}[target])
    mine, theirs = await in_thread(operation_on)(here), await in_thread(operation_on)(elsewhere)
    page = await listening(sam, f"domain={elsewhere.pk}")
    told = await heard(
        page,
        ("domain.changed", elsewhere.pk),
        ("host.changed", elsewhere.host_id),
        ("domains.changed", elsewhere.host_id),
        ("operation.changed", str(theirs.pk)),
        ("crawl.changed", 1),
        ("range.changed", 1),
        ("host.changed", here.host_id),
        ("domains.changed", here.host_id),
        ("operation.changed", str(mine.pk)),
        ("domain.changed", here.pk),
    )
    of_host = [("host.changed", here.host_id)] if target == "host" else []
    assert told == [
        *of_host,
        ("domains.changed", here.host_id),
        ("operation.changed", str(mine.pk)),
        ("domain.changed", here.pk),
    ]
    await page.disconnect()


async def test_the_hunt_for_hosts_is_for_administrators_alone(sam: User, two: tuple[Domain, Domain]) -> None:
    await in_thread(granted)(sam, Role.OPERATOR)
    page = await listening(sam)
    told = await heard(page, ("crawl.changed", 1), ("range.changed", 1), ("domain.changed", two[0].pk))
    assert told == [("domain.changed", two[0].pk)]
    await page.disconnect()
