"""What a process keeps for one host: its session, its breaker and the count of its calls."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import requests

from .. import guards, trust
from ..errors import CircuitOpen, HostBusy, OutsideRanges, RetryLater
from .breaker import Breaker
from .deadlines import deadline
from .transport import Question, fetch, new_session

MAX_CALLS: Final = 4


@dataclass
class Line:
    """The way to one host. Its methods may be called from any thread."""

    host_id: uuid.UUID
    breaker: Breaker = field(default_factory=Breaker)
    _room: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(MAX_CALLS))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _session: requests.Session | None = None
    _shown: str = ""

    def ask(self, ip: str, port: int, question: Question, *, insist: bool) -> bytes:
        """Return the body of a good answer. Never waits for a turn, never dials outside the ranges."""
        if not guards.may_dial(ip):
            raise OutsideRanges
        host = f"[{ip}]" if ":" in ip else ip
        with self._turn(insist=insist), deadline(question.timeouts.total):
            return fetch(self._current_session(), f"https://{host}:{port}{question.path}", question)

    def close(self) -> None:
        with self._lock:
            if self._session is not None:
                self._session.close()
            self._session, self._shown = None, ""

    @contextmanager
    def _turn(self, *, insist: bool) -> Iterator[None]:
        if not self._room.acquire(blocking=False):
            raise HostBusy
        try:
            if not self.breaker.allows() and not insist:
                raise CircuitOpen
            with self._counted():
                yield
        finally:
            self._room.release()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Tell the breaker whether the host answered: a refusal is an answer too."""
        answered = True
        try:
            yield
        except RetryLater as error:
            answered = isinstance(error, HostBusy)
            raise
        finally:
            self.breaker.succeeded() if answered else self.breaker.failed()

    def _current_session(self) -> requests.Session:
        """The session over our certificate and authorities of today: another one of them starts a new one."""
        client = trust.server_identity()
        with self._lock:
            if self._session is None or self._shown != client.terms:
                if self._session is not None:
                    self._session.close()
                self._session = new_session(self.host_id, client, MAX_CALLS)
                self._shown = client.terms
            return self._session
