"""One watcher: its share of the hosts, a follower for each, and what they have in common."""

import asyncio
import logging
import time
from typing import Final

from django.db import DatabaseError
from redis.exceptions import RedisError

from hosts import guards
from hosts import services as hosts
from hosts.errors import BadPayload
from hosts.events import Stats

from .. import services
from .beats import note_watcher
from .following import Follower
from .lanes import Lanes
from .leases import SHORT_TURN_SECONDS, TURN_SECONDS, Leases, shard_of
from .threads import Threads
from .writing import Writer

logger = logging.getLogger(__name__)

# New, retired and moved hosts are noticed so soon. To ask of each whether it may be dialled costs a query: so
# one whose range was switched off is noticed by the time that all SLICES were asked.
ROSTER_SECONDS: Final = 1.0
SLICES: Final = 30
ALIVE_EVERY: Final = 5.0
STATS_EVERY: Final = 1.0
END_SECONDS: Final = 1.0
# They store listings, one at a time if the database is SQLite.
KEEPERS: Final = 3


class Watcher:
    """Follows its share of the owned hosts, from `run` to its cancellation."""

    def __init__(self) -> None:
        self.followers: dict[int, Follower] = {}
        self._leases = Leases()
        self._shards: frozenset[int] = frozenset()
        self._slice = 0

    async def run(self) -> None:
        self._writer = Writer(self._lost, self._failed)
        self._lanes = Lanes()
        self._keepers = Threads(KEEPERS, "listings")
        self._clerk, self._leaser, self._gauger, self._guards = (
            Threads(1, name) for name in ("clerk", "leases", "stats", "guards")
        )
        self._stats: dict[int, tuple[Follower, Stats]] = {}
        self._measured = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                for work in (
                    self._writer.run,
                    self._keep_leases,
                    self._keep_roster,
                    self._tell_who_lives,
                    self._ask_for_stats,
                    self._keep_stats,
                ):
                    group.create_task(work())
        finally:
            await self._end()

    async def _end(self) -> None:
        for host_id in list(self.followers):
            self._drop(host_id)
        ends_at = time.monotonic() + END_SECONDS
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._leaser.run(self._leases.end)
        except (RedisError, OSError) as error:
            logger.warning("The leases are not given back, and end by themselves: %s", error)
        own = (self._clerk, self._leaser, self._gauger, self._guards, self._keepers)
        ending = (self._writer.threads, *own)
        for threads in ending:
            threads.finish()
        for threads in ending:
            threads.join(ends_at)

    async def _keep_leases(self) -> None:
        while True:
            try:
                self._shards = await self._leaser.run(self._leases.turn)
                await self._leaser.run(note_watcher)
            except (RedisError, OSError) as error:
                logger.warning("Without Redis no host changes hands: %s", error)
            await asyncio.sleep(SHORT_TURN_SECONDS if self._leases.short else TURN_SECONDS)

    async def _keep_roster(self) -> None:
        while True:
            try:
                await self._update_roster()
            except DatabaseError as error:
                logger.warning("The hosts cannot be read: %s", error)
            await asyncio.sleep(ROSTER_SECONDS)

    async def _update_roster(self) -> None:
        whereabouts = await self._clerk.run(hosts.whereabouts)
        wanted = {host_id for host_id in whereabouts if shard_of(host_id) in self._shards}
        for host_id, follower in list(self.followers.items()):
            if host_id not in wanted or not follower.follows(whereabouts[host_id]):
                self._drop(host_id)
        for host_id in await self._clerk.run(self._outside_ranges):
            self.followers[host_id].hang_up()
        new = wanted - self.followers.keys()
        # Whoever is not sure of its lease takes no host from another: it may be the one that was replaced.
        if not new or not self._leases.sure:
            return
        generations = await self._clerk.run(hosts.follow, new)
        for row in await self._clerk.run(hosts.followables, generations):
            self.followers[row.id] = Follower(
                row,
                generations[row.id],
                writer=self._writer,
                keepers=self._keepers,
                guards=self._guards,
                lanes=self._lanes,
                on_stats=self._note_stats,
            )

    def _outside_ranges(self) -> list[int]:
        """Return hosts that may not be dialled any more. Each time another part of them is asked."""
        self._slice = (self._slice + 1) % SLICES
        asked = [
            follower for follower in list(self.followers.values()) if follower.host.pk % SLICES == self._slice
        ]
        return [follower.host.pk for follower in asked if not guards.may_dial(follower.host.address)]

    def _drop(self, host_id: int) -> None:
        follower = self.followers.pop(host_id, None)
        if follower is not None:
            follower.stop()

    def _lost(self, host_id: int) -> None:
        """Another watcher follows it, or it is owned no more."""
        self._drop(host_id)

    def _failed(self, host_id: int, reason: str) -> None:
        if follower := self.followers.get(host_id):
            follower.fail(reason)

    async def _tell_who_lives(self) -> None:
        while True:
            await asyncio.sleep(ALIVE_EVERY)
            alive = {
                host_id: follower.generation for host_id, follower in self.followers.items() if follower.alive
            }
            try:
                missed = await self._clerk.run(hosts.note_alive, alive)
            except DatabaseError as error:
                logger.warning("It is not stored which hosts live: %s", error)
                continue
            for host_id in missed & self.followers.keys():
                self.followers[host_id].list_again()

    async def _ask_for_stats(self) -> None:
        while True:
            await asyncio.sleep(STATS_EVERY)
            periods = await self._gauger.run(services.stats_period, list(self.followers))
            for host_id, seconds in periods.items():
                if follower := self.followers.get(host_id):
                    await follower.measure_every(seconds)

    def _note_stats(self, follower: Follower, stats: Stats) -> None:
        """Of a host that tells more than can be stored the last counts."""
        self._stats[follower.host.pk] = follower, stats
        self._measured.set()

    async def _keep_stats(self) -> None:
        while True:
            await self._measured.wait()
            self._measured.clear()
            while self._stats:
                _, (follower, stats) = self._stats.popitem()
                try:
                    await self._gauger.run(services.record_stats, follower.host, stats.data)
                except BadPayload as error:
                    follower.fail(str(error))
                except DatabaseError as error:
                    logger.warning("What %s measured is not kept: %s", follower.host, error)
