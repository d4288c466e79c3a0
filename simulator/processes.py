"""The few processes of a fleet: parts of the hosts, and one that watches over them. They end together."""

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait

from virshmanagerd.daemon import Daemon
from virshmanagerd.engine import Engine

from .foreign import greet, hang
from .hosts import ListenError, Plan, listen, serve
from .life import Life

logger = logging.getLogger(__name__)

HOSTS_PER_PROCESS = 250
# Forked before any thread or libvirt connection exists, they share the memory of the code.
FORK = multiprocessing.get_context("fork")


class PartLost(Exception):
    """A process of the fleet has ended unasked. It has said why."""


class Part:
    """A process that plays some of the hosts. It ends when it is told to, or when its parent has gone."""

    def __init__(self, plan: Plan, indexes: Sequence[int]) -> None:
        self._ready, ready = FORK.Pipe(duplex=False)
        self._process = FORK.Process(target=_play_part, args=(plan, indexes, ready, os.getpid()))
        self._process.start()
        ready.close()

    @property
    def ended(self) -> int:
        """What `multiprocessing.connection.wait` takes to wait for its end."""
        return self._process.sentinel

    def wait_until_ready(self) -> None:
        """Return when its hosts listen. Raises PartLost when it ended instead."""
        try:
            self._ready.recv()
        except EOFError:
            raise PartLost from None

    def tell_to_end(self) -> None:
        self._process.terminate()

    def switch(self) -> None:
        """Switch the life of its hosts on, or off."""
        if self._process.pid:
            os.kill(self._process.pid, signal.SIGUSR1)

    def wait(self) -> None:
        self._process.join()


class Fleet:
    """All processes. `play` returns after `stop`, which a signal handler may call."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._parts: list[Part] = []
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True
        for part in self._parts:
            part.tell_to_end()

    def switch(self) -> None:
        """Switch the life of all hosts on, or off. Safe in signal handlers."""
        for part in self._parts:
            part.switch()

    def play(self, announce: Callable[[], None]) -> None:
        """Play until `stop`; `announce` is called when every host listens. Raises ListenError, PartLost."""
        try:
            self._start()
            announce()
            if not self._stopped:
                wait([part.ended for part in self._parts])
            if not self._stopped:
                raise PartLost
        except PartLost:
            if not self._stopped:
                raise
        finally:
            self.stop()
            for part in self._parts:
                part.wait()

    def _start(self) -> None:
        count = self._plan.well
        for first in range(0, count, HOSTS_PER_PROCESS):
            self._parts.append(Part(self._plan, range(first, min(first + HOSTS_PER_PROCESS, count))))
        for part in self._parts:
            part.wait_until_ready()
        for address in self._plan.foreign:
            greet(listen(address, self._plan.port))
        if self._plan.silent:
            hang([listen(address, self._plan.port) for address in self._plan.silent])


def _play_part(plan: Plan, indexes: Sequence[int], ready: Connection, parent: int) -> None:
    engine = Engine()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: engine.stop())
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    def stop_when_orphaned() -> None:
        if os.getppid() != parent:
            engine.stop()

    try:
        daemons = serve(plan, indexes, engine)
    except ListenError as error:
        logger.error("%s", error)
        raise SystemExit(1) from None
    if plan.events:
        _live(plan, indexes, daemons)
    ready.send(None)
    engine.run(stop_when_orphaned)
    for daemon in daemons:
        daemon.driver.stop()


def _live(plan: Plan, indexes: Sequence[int], daemons: Sequence[Daemon]) -> None:
    """Let the hosts of this part have their share of what happens."""
    share = plan.events * len(indexes) / plan.well
    life = Life([daemon.driver for daemon in daemons], share, plan.state_dir / f"events-{indexes[0]}.log")
    life.start()
    signal.signal(signal.SIGUSR1, lambda *_: life.switch())
