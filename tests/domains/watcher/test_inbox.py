"""The inbox of a host: its order, its bounds, and what a listing holds back."""

import asyncio

from domains.watcher.inbox import AT_ONCE, MOST_EVENTS, Inbox
from hosts.events import HostEvent


def event(seq: int) -> HostEvent:
    return HostEvent("e1", seq, "libvirt.down", "")


async def filled(count: int) -> Inbox:
    inbox = Inbox(1, 1)
    for seq in range(count):
        await inbox.put(event(seq), 100)
    return inbox


async def test_a_full_inbox_holds_its_follower_back() -> None:
    inbox = await filled(MOST_EVENTS)
    waiting = asyncio.create_task(inbox.put(event(MOST_EVENTS), 100))
    await asyncio.sleep(0)
    assert not waiting.done()
    inbox.take()
    inbox.written()
    await waiting


async def test_nothing_more_is_taken_before_what_was_taken_is_written() -> None:
    inbox = await filled(AT_ONCE + 1)
    assert len(inbox.take()) == AT_ONCE
    assert not inbox.ready
    inbox.written()
    assert [found.seq for found in inbox.take()] == [AT_ONCE]


async def test_while_it_is_held_only_what_was_there_is_taken() -> None:
    inbox = await filled(2)
    holding = asyncio.create_task(inbox.hold())
    await asyncio.sleep(0)
    await inbox.put(event(2), 100)
    assert [found.seq for found in inbox.take()] == [0, 1]
    inbox.written()
    await holding
    assert not inbox.ready
    inbox.release()
    assert [found.seq for found in inbox.take()] == [2]
