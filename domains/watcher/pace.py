"""How much of one host is read in a second: a daemon that floods its stream is slowed down, and no other."""

import asyncio
from typing import Final

CHARACTERS_A_SECOND: Final = 2**20
AT_ONCE_SECONDS: Final = 4.0
# What any message costs, however short it is: a thousand a second are enough for any host.
LEAST: Final = 2**10


class Pace:
    def __init__(self) -> None:
        self._paid_until = 0.0

    async def keep(self, size: int) -> None:
        """Wait until a message of `size` characters may count, after those before it."""
        now = asyncio.get_running_loop().time()
        cost = max(size, LEAST) / CHARACTERS_A_SECOND
        self._paid_until = max(self._paid_until, now - AT_ONCE_SECONDS) + cost
        if self._paid_until > now:
            await asyncio.sleep(self._paid_until - now)
