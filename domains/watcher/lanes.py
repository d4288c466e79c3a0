"""How many hosts are dialled and listed at once."""

import asyncio


class Lanes:
    """Doubtful hosts, which may hang, are on lanes of their own."""

    def __init__(self) -> None:
        self.dial = {False: asyncio.Semaphore(64), True: asyncio.Semaphore(32)}
        self.list = {False: asyncio.Semaphore(16), True: asyncio.Semaphore(8)}
