"""The watcher: follows the events of the owned hosts, and writes what they tell into the mirror.

    hosts' streams -> Follower (two tasks each) -> Inbox -> Writer (one thread) -> mirror, and live events

Everything that waits for hosts is asyncio; everything that waits for the database or Redis is in threads. A
full listing of each host is the truth, at the start, after any gap and every few minutes; events keep it
fresh in between. Several watchers share the hosts by leases in Redis, and never write the same host: in the
database each host has a generation, and who comes with an older one writes nothing. So when Redis is gone the
watchers go on with the hosts they have; no host changes hands until it is back.
"""

from .beats import HEARD_KEY, watcher_beats
from .watching import Watcher

__all__ = ["HEARD_KEY", "Watcher", "watcher_beats"]
