"""`python -m benchmarks.tools.ear`: hear what Channels tells the fleet's pages, as a page's consumer does.

Prints `event id seconds` for each, the seconds by the clock of the machine, until it is ended.
"""

import asyncio
import os
import sys
import time

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "virshmanager.settings")
    django.setup()
    asyncio.run(_listen())


async def _listen() -> None:
    # The layer exists only after the setup.
    from channels.layers import get_channel_layer

    from hosts.live import FLEET

    layer = get_channel_layer()
    if layer is None:
        raise RuntimeError("there is no channel layer")
    channel = await layer.new_channel()
    await layer.group_add(FLEET, channel)
    print("listening", flush=True)
    while True:
        heard = await layer.receive(channel)
        sys.stdout.write(f"{heard['event']} {heard['id']} {time.time()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
