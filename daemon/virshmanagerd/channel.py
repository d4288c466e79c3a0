"""TLS over one socket in steps that are bounded, whatever the client sends.

OpenSSL on the socket itself would read on for as long as records come that carry no data, such as
KeyUpdate (RFC 8446, 4.6.3): one client could hold the loop for ever. So OpenSSL works on memory here,
is given one piece at a time, and no more bytes than a request can need.
"""

from __future__ import annotations

import contextlib
import socket
import ssl

PIECE = 16 * 1024
# A request of a stranger has at most 80 KiB. The rest is for the records around it, and for certificates.
WIRE_BYTES_PER_REQUEST = 128 * 1024
# Answers that TLS gives by itself, and whose sender does not take them, end the connection at this size.
MOST_UNASKED = 256 * 1024


class Channel:
    """One TLS connection of a server. ``sent`` counts the bytes that the kernel has taken.

    What cannot go on raises ``ssl.SSLWantReadError`` or ``ssl.SSLWantWriteError``: call it again when the
    socket is ready. Any other ``OSError`` is the connection's end.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        """Take over a connected socket.

        Raises:
            OSError: when the client has gone already.
        """
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._unsent = memoryview(b"")
        self._most = WIRE_BYTES_PER_REQUEST
        self._allowance = self._most
        self.sent = 0

    def fileno(self) -> int:
        """Return the socket's descriptor, for the selector."""
        return self._socket.fileno()

    def handshake(self) -> bytes | None:
        """Go on with the handshake; at its end return the client's certificate (DER), if it showed one.

        Raises:
            ssl.SSLError: when it failed; ``hang_up`` tells the client why.
        """
        while not self._handshake_ends():
            self.flush()
            self._pull()
        self.flush()
        return self._tls.getpeercert(binary_form=True)

    def receive(self) -> bytes:
        """Return some bytes of the client's, at most about one piece; none at the end of all."""
        received = self._decrypt()
        if received is None:
            self._pull()
            received = self._decrypt()
        if received is None:
            raise ssl.SSLWantReadError
        return received

    def ended(self) -> bool:
        """Say whether the client has gone already; call it when all that it sent was read."""
        try:
            return not self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False

    def allow(self, size: int) -> None:
        """Let the client send so many bytes more with each request."""
        self._most += size
        self._allowance += size

    def renew_allowance(self) -> None:
        """Let the client send another request, or more of a stream."""
        self._allowance = self._most

    def notice_death(self, seconds: float) -> None:
        """Have the kernel end the connection when nothing that was sent is acknowledged for so long."""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))

    def send(self, data: memoryview) -> int:
        """Encrypt a piece of ``data``, and return how much of it that was. ``flush`` after the last."""
        self.flush()
        return self._tls.write(data[:PIECE])

    def flush(self) -> None:
        """Send what is encrypted."""
        while self._unsent or self._outgoing.pending:
            self._unsent = self._unsent or memoryview(self._outgoing.read())
            try:
                sent = self._socket.send(self._unsent)
            except BlockingIOError:
                raise ssl.SSLWantWriteError from None
            self._unsent = self._unsent[sent:]
            self.sent += sent

    def hang_up(self) -> None:
        """Say that this was all, or why it was."""
        with contextlib.suppress(OSError):
            self._tls.unwrap()  # it makes its notice, and then would wait for the client's
        with contextlib.suppress(OSError):
            self.flush()
        self._socket.shutdown(socket.SHUT_WR)

    def discard(self) -> bool:
        """Throw away what the client still sends; False at its end."""
        return bool(self._socket.recv(PIECE))

    def close(self) -> None:
        """Close at once."""
        self._socket.close()

    def _handshake_ends(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def _pull(self) -> None:
        try:
            data = self._socket.recv(PIECE)
        except BlockingIOError:
            raise ssl.SSLWantReadError from None
        self._allowance -= len(data)
        if self._allowance < 0 or self._outgoing.pending > MOST_UNASKED:
            raise ConnectionAbortedError("the client sends more than a request can need")
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _decrypt(self) -> bytes | None:
        """All that can be had without the socket: None for nothing yet, nothing for the end."""
        pieces: list[bytes] = []
        try:
            while piece := self._tls.read(PIECE):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            return b"".join(pieces) or None
        return b"".join(pieces)
