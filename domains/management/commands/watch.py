import asyncio
import gc
import signal
from typing import Final

import uvloop
from django.core.management.base import BaseCommand

from domains.watcher import Watcher

# Objects made before the garbage of young ones is looked for. What a thousand hosts keep alive is much, and
# every look through all of it stops the watcher for a third of a second.
YOUNG_OBJECTS: Final = 50_000


class Command(BaseCommand):
    help = "Follow the events of the owned hosts, in the foreground, until SIGTERM or Ctrl-C."

    def handle(self, *args: object, **options: object) -> None:
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, 20, 20)
        # Not asyncio's own loop: its TLS takes a buffer of 256 KiB for each connection.
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_watch())


async def _watch() -> None:
    watching = asyncio.ensure_future(Watcher().run())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, watching.cancel)
    await asyncio.wait([watching])
    if not watching.cancelled():
        watching.result()
