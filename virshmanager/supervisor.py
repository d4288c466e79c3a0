"""Keeps the processes of one server alive, in the foreground, and stops them together.

Every child runs in a session of its own, so that Ctrl-C reaches the supervisor alone and the children stop
in order. The kernel ends a child whose supervisor is killed (PR_SET_PDEATHSIG, by setpriv(1)): nothing stays
behind to hold a port or a lock.
"""

import asyncio
import contextlib
import logging
import logging.handlers
import os
import re
import signal
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LOG_BYTES = 10_000_000
LINE_BYTES = 65536
KEPT_LINES = 200
TAIL_LINES = 15
START_DEADLINE = 30.0
RESTART_DELAY = 1.0
DEATHS_ALLOWED = 5
DEATHS_WINDOW = 60.0
GRACE = 5.0

ANY_LINE = re.compile("")
NO_LINE = re.compile("(?!)")
ERROR_LINE = re.compile(r"\b(ERROR|CRITICAL)\b")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class StartError(Exception):
    """Something outside forbids the start: a port, a folder, a missing program. One line of text."""


class ChildError(Exception):
    """A process that the server cannot do without has failed; the text names it and quotes its last lines."""


def say(text: str) -> None:
    """Tell the terminal. Where it is gone, or the disk behind it is full, the server goes on."""
    with contextlib.suppress(OSError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


@dataclass(frozen=True)
class Command:
    """A process to run: each of `stop_signals` is given `GRACE` seconds, then it is killed.

    `on_orphan` is what the kernel sends if the supervisor dies first. A `private` one is not logged. Without
    one that is not `vital` the server goes on.
    """

    name: str
    arguments: Sequence[str]
    stop_signals: Sequence[signal.Signals] = (signal.SIGTERM,)
    on_orphan: str = "KILL"
    private: bool = False
    vital: bool = True


def python(name: str, *arguments: str) -> Command:
    return Command(name, [sys.executable, *arguments])


def manage(name: str, *arguments: str) -> Command:
    return python(name, "manage.py", *arguments)


@dataclass
class Child:
    """One running process, its log and its last lines."""

    command: Command
    log: logging.Handler
    environment: Mapping[str, str]
    echo: re.Pattern[str]
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    process: asyncio.subprocess.Process | None = None

    async def run(self) -> int:
        """Start it, follow its output to the end, and return its exit code."""
        self.tail.clear()
        # Not asyncio's own pipe: its wait() would wait for a grandchild that holds the other end, too.
        read_end, write_end = os.pipe()
        follower = asyncio.create_task(self._follow(read_end))
        try:
            self.process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", self.command.on_orphan, "--", *self.command.arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=asyncio.subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
            )
        finally:
            os.close(write_end)
        code = await self.process.wait()
        self._kill_group()
        await asyncio.wait([follower], timeout=0.5)
        follower.cancel()
        return code

    async def stop(self) -> None:
        """Ask the process to end, more firmly each time; then kill it and what it started."""
        process = self.process
        for number in self.command.stop_signals:
            if process is not None and process.returncode is None:
                process.send_signal(number)
                await self._ended(process)
        self._kill_group()
        if process is not None:
            await self._ended(process)
        self.log.close()

    async def _ended(self, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE)

    def _kill_group(self) -> None:
        """End what is left of the process and of what it started. Once only: process ids are used again."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process = None

    async def _follow(self, read_end: int) -> None:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", buffering=0)
        )
        rest = b""
        try:
            while block := await reader.read(LINE_BYTES):
                *lines, rest = (rest + block).split(b"\n")
                rest = rest[-LINE_BYTES:]
                for line in lines:
                    self._heard(line)
        finally:
            transport.close()
        if rest:
            self._heard(rest)

    def _heard(self, raw: bytes) -> None:
        # A log line may quote what a stranger sent: it must not move the cursor of a terminal.
        line = CONTROL.sub("?", raw.decode(errors="replace").rstrip("\r"))
        self.tail.append(line)
        self.log.emit(logging.makeLogRecord({"msg": line}))
        if self.echo.search(line):
            say(line if self.echo is ANY_LINE else f"{self.command.name}: {line}")


class Supervisor:
    """Runs children inside an `async with`; at its end all stop together, the first started last.

    The first is what the others talk to while they stop. A child that dies is started again after a second,
    and a line says so. One that dies five times within a minute, or cannot be started at all, makes `failed`
    raise ChildError; if it is not vital, it is tried again a minute later instead.
    """

    def __init__(self, *, log_folder: Path, environment: Mapping[str, str]) -> None:
        self.log_folder = log_folder
        self.environment = environment
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stopping = asyncio.Event()
        self._kept: list[tuple[Child, asyncio.Task[None]]] = []

    async def __aenter__(self) -> "Supervisor":
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._stopping.set()
        first, rest = self._kept[:1], self._kept[1:]
        await asyncio.gather(*(child.stop() for child, _ in rest))
        await asyncio.gather(*(child.stop() for child, _ in first))
        for _, keeper in self._kept:
            keeper.cancel()
        await asyncio.gather(*(keeper for _, keeper in self._kept), return_exceptions=True)
        self.failed.cancel()

    def start(self, command: Command, *, environment: Mapping[str, str] | None = None) -> None:
        """Start a child and keep it alive."""
        child = self._child(command, environment=environment or {}, echo=ERROR_LINE)
        self._kept.append((child, asyncio.create_task(self._keep(child))))

    async def run_once(
        self, command: Command, *, environment: Mapping[str, str] | None = None, echo: bool = False
    ) -> list[str]:
        """Run a command to its end and return its last lines, 200 at most.

        Raises ChildError if it does not exit with 0.
        """
        child = self._child(command, environment=environment or {}, echo=ANY_LINE if echo else NO_LINE)
        try:
            code = await child.run()
        finally:
            await child.stop()
        if code != 0:
            raise ChildError(obituary(child, code))
        return list(child.tail)

    def _child(self, command: Command, *, environment: Mapping[str, str], echo: re.Pattern[str]) -> Child:
        path = self.log_folder / f"{command.name}.log"
        log = (
            logging.NullHandler()
            if command.private
            else logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=2, delay=True)
        )
        return Child(command, log, {**self.environment, **environment}, echo)

    async def _keep(self, child: Child) -> None:
        try:
            await self._restart_on_death(child)
        except (OSError, ChildError) as error:
            if not self.failed.done():
                self.failed.set_exception(ChildError(str(error)))

    async def _restart_on_death(self, child: Child) -> None:
        deaths: deque[float] = deque(maxlen=DEATHS_ALLOWED)
        while not self._stopping.is_set():
            code = await child.run()
            if self._stopping.is_set():
                return
            deaths.append(asyncio.get_running_loop().time())
            keeps_dying = len(deaths) == DEATHS_ALLOWED and deaths[-1] - deaths[0] < DEATHS_WINDOW
            if keeps_dying and child.command.vital:
                raise ChildError(obituary(child, code))
            delay = DEATHS_WINDOW if keeps_dying else RESTART_DELAY
            say(f"{obituary(child, code)}\nStarting {child.command.name} again in {delay:g} s.")
            await asyncio.sleep(delay)


async def reachable(
    name: str, connect: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
) -> None:
    """Return when something listens where `connect` goes; raise ChildError after `START_DEADLINE` seconds."""
    try:
        async with asyncio.timeout(START_DEADLINE):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await connect()
                    writer.close()
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise ChildError(f"{name} did not answer within {START_DEADLINE:.0f} s.") from None


def obituary(child: Child, code: int) -> str:
    """What a person needs to see about a process that ended: its name, how it ended, its last lines."""
    names = {number.value: number.name for number in signal.Signals}
    how = f"was ended by {names.get(-code, f'signal {-code}')}" if code < 0 else f"ended with code {code}"
    return "\n".join(
        [f"{child.command.name} {how}.", *(f"  | {line}" for line in [*child.tail][-TAIL_LINES:])]
    )
