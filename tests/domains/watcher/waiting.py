"""Waiting for what a watcher does."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from channels.db import database_sync_to_async

from domains.models import Domain
from hosts.models import Host
from tests.hosts.daemons import PlayedDaemon

DEADLINE = 15.0
Play = Callable[..., PlayedDaemon]


@database_sync_to_async
def state_of(domain: dict[str, Any]) -> str | None:
    return Domain.objects.filter(uuid=domain["uuid"]).values_list("state", flat=True).first()


@database_sync_to_async
def row_of(daemon: PlayedDaemon) -> Host:
    return Host.objects.get(uuid=daemon.id)


async def until(holds: Callable[[], Awaitable[Any]]) -> None:
    """Wait until it holds; the deadline fails the test."""
    ends = time.monotonic() + DEADLINE
    while not await holds():
        assert time.monotonic() < ends, "it did not come about"
        await asyncio.sleep(0.02)


async def becomes(domain: dict[str, Any], state: str | None) -> None:
    async def has() -> bool:
        return await state_of(domain) == state

    await until(has)
