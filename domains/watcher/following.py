"""Following one host: its stream is opened, kept, and opened again; listings fill the gaps."""

import asyncio
import logging
import math
import random
from collections.abc import Callable
from typing import Final, Never

from hosts import services as hosts
from hosts.agent.stream import Stream, open_events
from hosts.errors import AgentError, BadPayload, ProblemAnswer, ProtocolError, TimedOut
from hosts.events import DomainEvent, Hello, HostEvent, Listing, Message, Stats, read_message
from hosts.models import Host

from .beats import count
from .inbox import Inbox, changes_something
from .lanes import Lanes
from .listing import Lister
from .pace import Pace
from .position import Position
from .threads import Threads
from .writing import Writer

logger = logging.getLogger(__name__)

HELLO_SECONDS: Final = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
# After what another attempt will hardly mend: nonsense, or a refusal.
REFUSED_PAUSE: Final = 60.0
# One that ends sooner counts as a failure: a daemon that hangs up at once is not dialled for ever.
PROVEN_SECONDS: Final = 10.0
ALIVE_SECONDS: Final = 10.0
# A question is some bytes: only of a host that has us answer a lot and reads nothing has it to wait.
ASK_SECONDS: Final = 1.0
# Hosts that come up together are not measured together for ever, unless somebody looks at one.
SPREAD_SECONDS: Final = 20.0

RELISTED_AFTER: Final = frozenset({"host.changed", "libvirt.up", "resync"})


class Follower:
    """One host, from when it is ours until `stop`. `on_stats` gets what it measures."""

    def __init__(
        self,
        row: hosts.Followable,
        generation: int,
        *,
        writer: Writer,
        keepers: Threads,
        guards: Threads,
        lanes: Lanes,
        on_stats: Callable[["Follower", Stats], None],
    ) -> None:
        self.host = Host(
            pk=row.id, uuid=row.uuid, hostname=row.hostname, address=row.address, port=row.port, trust="owned"
        )
        self.generation = generation
        self.inbox = Inbox(row.id, generation)
        self.position = Position()
        self._writer, self._lanes, self._on_stats = writer, lanes, on_stats
        self._keepers, self._guards = keepers, guards
        self._doubtful = row.missed_probes > 0
        self._stream: Stream | None = None
        self._opened_at = math.inf
        self._broken = ""
        self._failures = 0
        self._period = 0
        self._measured_from = math.inf
        self._lister = Lister(self.host, self.inbox, writer=writer, keepers=keepers, lanes=lanes)
        self._tasks = [asyncio.create_task(self._stay()), asyncio.create_task(self._lister.run())]

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    def follows(self, now: hosts.Whereabouts) -> bool:
        """Whether the host is still where it is followed, and ours."""
        return now == (self.host.address, self.host.port, self.generation)

    def fail(self, reason: str) -> None:
        """End the stream: what it told cannot be used."""
        self._broken = reason
        self.hang_up()

    def list_again(self) -> None:
        """Have the host listed soon."""
        self._lister.want()

    def hang_up(self) -> None:
        """End the stream; whether it may be opened again is asked then."""
        if self._stream is not None:
            self._stream.abort()

    @property
    def alive(self) -> bool:
        """Whether the host needs no probe: its stream was heard of lately, and what it told is complete."""
        if self._stream is None or not self._lister.listed:
            return False
        return asyncio.get_running_loop().time() - self._stream.heard_at < ALIVE_SECONDS

    async def measure_every(self, seconds: int) -> None:
        """Have the host tell its statistics so often."""
        if self._stream is None or not self._lister.listed or seconds == self._period:
            return
        if seconds < SPREAD_SECONDS or asyncio.get_running_loop().time() > self._measured_from:
            self._period = seconds
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    await self._stream.send(f'{{"type":"stats","seconds":{seconds}}}')
            except TimeoutError:
                self.fail("it reads nothing")
            except AgentError:
                return  # its reader hears of it, too

    async def _stay(self) -> None:
        while True:
            try:
                pause = await self._follow_to_the_end()
            except Exception:
                # A defect of ours that one host brings to light: it is tried again, as after any other end.
                logger.exception("Following %s failed", self.host.address)
                pause = REFUSED_PAUSE
            finally:
                self._leave()
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 -- so that hosts fall out of step

    async def _follow_to_the_end(self) -> float:
        """Follow until the stream ends; return how long to wait before the next one."""
        try:
            await self._follow_once()
        except AgentError as error:
            lasted = asyncio.get_running_loop().time() - self._opened_at
            self._failures = 0 if lasted > PROVEN_SECONDS else self._failures + 1
            return await self._pause_after(ProtocolError(self._broken) if self._broken else error)

    def _leave(self) -> None:
        if self._stream is not None:
            self._stream.abort()
        self._stream, self._opened_at, self._period = None, math.inf, 0
        self._lister.pause()

    async def _pause_after(self, error: AgentError) -> float:
        logger.info("The events of %s ended: %s (%s)", self.host.address, error, error.problem)
        self._broken = ""
        self._doubtful = self._failures > 1
        if isinstance(error, ProtocolError):
            self.position.forget()
            await self._keepers.run(hosts.note_bad_events, self.host.pk, self.generation, error.detail)
        if isinstance(error, ProtocolError | ProblemAnswer):
            return REFUSED_PAUSE
        return min(LONGEST_PAUSE, FIRST_PAUSE * math.pow(2, min(self._failures, 8)))

    async def _follow_once(self) -> Never:
        """Open the stream and read it until it ends, which is an AgentError."""
        async with self._lanes.dial[self._doubtful]:
            stream, hello = await self._open()
        self._stream, self._opened_at = stream, asyncio.get_running_loop().time()
        self._measured_from = self._opened_at + SPREAD_SECONDS * random.random()  # noqa: S311 -- as above
        self._doubtful = False
        self._lister.begin(stream)
        if not self.position.begin(hello):
            self._lister.want()
        pace = Pace()
        while True:
            message, size = await self._next(stream)
            await pace.keep(size)
            await self._heard(message, size)

    async def _open(self) -> tuple[Stream, Hello]:
        stream = await open_events(self.host, after=str(self.position), ask=self._guards.run)
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                hello, _ = await self._next(stream)
            if not isinstance(hello, Hello):
                raise ProtocolError("a stream that does not begin with hello")
        except TimeoutError:
            stream.abort()
            raise TimedOut from None
        except BaseException:
            stream.abort()
            raise
        return stream, hello

    @staticmethod
    async def _next(stream: Stream) -> tuple[Message, int]:
        text = await stream.receive()
        try:
            return read_message(text), len(text)
        except BadPayload as error:
            raise ProtocolError(str(error)) from None

    async def _heard(self, message: Message, size: int) -> None:
        if isinstance(message, Hello):
            raise ProtocolError("a second hello")
        if isinstance(message, Listing):
            self._lister.question.take(message)
            return
        count(message)
        if isinstance(message, Stats):
            self._on_stats(self, message)
            return
        if not self.position.advance(message):
            self._lister.want()
        if isinstance(message, HostEvent) and message.word in RELISTED_AFTER:
            self._lister.want()
        if isinstance(message, DomainEvent) and not message.removed and message.domain is None:
            self._lister.want()
        if changes_something(message):
            if self.inbox.full:
                # It is held for the sake of a listing that would be read after this.
                self._lister.question.give_up()
            await self.inbox.put(message, size)
            self._writer.notice(self.inbox)
