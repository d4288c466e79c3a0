import asyncio
import signal

import uvloop
from django.core.management.base import BaseCommand

from domains.watcher import Watcher


class Command(BaseCommand):
    help = "Follow the events of the owned hosts, in the foreground, until SIGTERM or Ctrl-C."

    def handle(self, *args: object, **options: object) -> None:
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
