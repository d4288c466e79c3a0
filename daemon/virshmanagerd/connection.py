"""One TLS connection, driven by the engine's loop and by nobody else.

    handshake -> read -> (answered elsewhere) -> write -> read ... -> linger -> closed
                                              -> converse ------------^

No step waits: what cannot go on says what it needs, and has a deadline. Threads compute answers, and
never touch the socket.
"""

from __future__ import annotations

import logging
import selectors
import socket
import ssl
import time
from functools import partial
from typing import TYPE_CHECKING, Protocol

from virshmanagerd import attempts, certificates
from virshmanagerd.certificates import CertificateError, PeerCertificate
from virshmanagerd.channel import Channel
from virshmanagerd.conversation import Conversation, Loop, abandon
from virshmanagerd.exchange import PROVEN_BODY_BYTES, Answer, Exchange, RawRequest, answer_from
from virshmanagerd.web import Peer, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from virshmanagerd.daemon import Trust

logger = logging.getLogger(__name__)

HANDSHAKE_SECONDS = 5.0
HEADER_SECONDS = 10.0
BODY_SECONDS = 10.0
WRITE_SECONDS = 30.0
IDLE_SECONDS = 75.0
LINGER_SECONDS = 2.0
FOREVER = float("inf")


class Keeper(Protocol):
    """What a connection needs of the door through which it came."""

    @property
    def loop(self) -> Loop:
        """The engine, for streams."""

    def watch(self, connection: Connection, events: int) -> None:
        """Call ``advance`` when the socket is ready for ``events``; 0 for never."""

    def prove(self, connection: Connection) -> None:
        """The client has shown a certificate of the CA."""

    def dispatch(self, connection: Connection, request: RawRequest) -> None:
        """Have a request answered; the answer comes by ``reply``."""

    def forget(self, connection: Connection) -> None:
        """The connection is about to close."""


class Connection:
    """One client. ``deadline`` is the moment (monotonic clock) at which it is given up."""

    def __init__(self, keeper: Keeper, sock: socket.socket, address: str, trust: Trust, number: int) -> None:
        """Take over an accepted socket.

        Raises:
            OSError: when the client has gone already.
        """
        self._channel = Channel(sock, trust.context)
        self._authorities = trust.authorities
        self._keeper = keeper
        self._exchange = Exchange()
        self._outgoing = memoryview(b"")
        self._last = False
        self._conversation: Conversation | None = None
        self._step: Callable[[], None] = self._handshake
        self.source = attempts.source(address)
        self.peer = Peer(address, None, trust.generation, number)
        self.deadline = time.monotonic() + HANDSHAKE_SECONDS
        self.busy = False
        self.closed = False

    def fileno(self) -> int:
        """Return the socket's descriptor, for the selector."""
        return self._channel.fileno()

    def advance(self) -> None:
        """Go on as far as possible without waiting."""
        if self.closed:
            return
        try:
            self._step()
        except ssl.SSLWantReadError:
            self._keeper.watch(self, selectors.EVENT_READ)
        except ssl.SSLWantWriteError:
            self._keeper.watch(self, selectors.EVENT_WRITE)
        except BlockingIOError:
            self._keeper.watch(self, selectors.EVENT_READ)
        except OSError:
            self.close()
        except Exception:
            # A defect met by one client must not end the connections of all the others.
            logger.exception("the connection from %s failed", self.peer.address)
            self.close()

    def _handshake(self) -> None:
        try:
            der = self._channel.handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            self._hang_up()  # the client shall read the alert that says why
            return
        if der:
            self._introduce(der)
        self._await_request(HEADER_SECONDS)

    def _introduce(self, der: bytes) -> None:
        try:
            certificate = PeerCertificate.from_der(der, self._authorities)
        except CertificateError as error:
            raise OSError(str(error)) from None
        self.peer = Peer(self.peer.address, certificate, self.peer.generation, self.peer.connection)
        self._exchange.most = PROVEN_BODY_BYTES
        self._channel.allow(PROVEN_BODY_BYTES)
        self._keeper.prove(self)

    def _await_request(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        self._step = self._read_first
        self._read_first()

    def _read_first(self) -> None:
        data = self._channel.receive()
        self.deadline = time.monotonic() + HEADER_SECONDS
        self._step = self._read
        self._take(data)

    def _read(self) -> None:
        self._take(self._channel.receive())

    def _take(self, data: bytes) -> None:
        """Take bytes of a request. For more the selector brings us back: others have their turn first."""
        if not data:
            self.close()
            return
        in_body = self._exchange.headers_complete
        try:
            self._exchange.feed(data)
            request = self._exchange.next_request()
        except Problem as problem:
            self._send(answer_from(problem.response()), last=True)
            return
        if request:
            self._wait_for_answer(request)
            return
        if self._exchange.headers_complete and not in_body:
            self.deadline = time.monotonic() + BODY_SECONDS
        self._keeper.watch(self, selectors.EVENT_READ)

    def _wait_for_answer(self, request: RawRequest) -> None:
        # Who has given up waiting for a daemon that was stopped may count on nothing being done any more.
        if self._channel.ended():
            self.close()
            return
        self.busy = True
        self.deadline = FOREVER  # every handler has deadlines of its own
        self._keeper.watch(self, 0)
        self._keeper.dispatch(self, request)

    def reply(self, answer: Answer, *, last: bool) -> None:
        """Send the answer to the request; with ``last`` the connection ends after it."""
        stream = answer.stream
        if stream and (self.closed or last):
            abandon(stream)
            self.close()
        if self.closed:
            return
        if stream:
            self._conversation = Conversation(self._channel, stream, self._keeper.loop, self.advance)
            self._step = partial(self._begin, self._conversation, answer)
        else:
            self.busy = False
            self._step = partial(self._send, answer, last=last)
        self.advance()

    def _begin(self, conversation: Conversation, answer: Answer) -> None:
        conversation.start(self._exchange.switch(answer))
        self._step = partial(self._converse, conversation)
        self._step()

    def _converse(self, conversation: Conversation) -> None:
        events = conversation.advance()
        if events is not None:
            self._keeper.watch(self, events)
            return
        self._end_conversation()
        self.busy = False
        self._hang_up()

    def _end_conversation(self) -> None:
        conversation, self._conversation = self._conversation, None
        if conversation:
            conversation.end()

    def _send(self, answer: Answer, *, last: bool) -> None:
        self._outgoing = memoryview(self._exchange.encode(answer, close=last))
        self._last = last
        self.deadline = time.monotonic() + WRITE_SECONDS
        self._step = self._write
        self._write()

    def _write(self) -> None:
        while self._outgoing:
            sent = self._channel.send(self._outgoing)
            self._outgoing = self._outgoing[sent:]
        self._channel.flush()
        if self._last or not self._exchange.start_next():
            self._hang_up()
        else:
            self._channel.renew_allowance()
            self._await_request(IDLE_SECONDS)

    def _hang_up(self) -> None:
        # Closing while bytes of the client are unread would reset the connection, and the last answer
        # or alert could be lost. So: say that this was all, and read until the client has understood.
        self._channel.hang_up()
        self.deadline = time.monotonic() + LINGER_SECONDS
        self._step = self._linger
        self._linger()

    def _linger(self) -> None:
        if self._channel.discard():
            self._keeper.watch(self, selectors.EVENT_READ)
        else:
            self.close()

    def sweep(self, now: float) -> None:
        """Close when a deadline has passed, or a stream's client may not have one any more."""
        streams = self._conversation
        if now >= self.deadline or (streams and not (streams.lives(now) and self._is_proven())):
            self.close()

    def _is_proven(self) -> bool:
        # A request is judged when it comes. A stream may outlive the certificate by which it was opened.
        certificate = self.peer.certificate
        return certificate is not None and certificate.server(certificates.now()) is not None

    def leave(self, code: int) -> None:
        """Close when no request is at work, a stream in good order; else do nothing."""
        if self._conversation:
            self._conversation.close(code, discard=True)
        elif not self.busy:
            self.close()

    def close(self) -> None:
        """Close at once."""
        if not self.closed:
            self.closed = True
            self._end_conversation()
            self._keeper.forget(self)
            self._channel.close()
            # A method of ours in ourselves would keep 50 KB alive until the garbage collector comes.
            self._step = _nothing


def _nothing() -> None:
    """What is left to do for a connection that is closed."""
