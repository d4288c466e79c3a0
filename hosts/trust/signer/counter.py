"""The signer's socket: one packet is a request, one the answer (SOCK_SEQPACKET), and then it hangs up.

Who asks one after the other is served one after the other: signing takes a millisecond.
"""

import logging
import os
import socket
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Final

from .desk import Desk, Peer, refused

MAX_REQUEST: Final = 8192
PATIENCE: Final = 2.0
# sd_listen_fds(3): the first descriptor that systemd hands over.
HANDED_OVER: Final = 3
UCRED: Final = struct.Struct("3i")

logger = logging.getLogger(__name__)


def listen(path: Path) -> socket.socket:
    """Return a socket at `path` that its user alone may connect to."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen()
    return listener


def handed_over() -> socket.socket | None:
    """Return the socket that systemd made for this process, if it did: a user of another's then owns it."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    return socket.socket(fileno=HANDED_OVER)


def serve(listener: socket.socket, desk: Desk, *, users: Collection[int]) -> None:
    """Answer until the process is ended. `users` are who may ask."""
    while True:
        wire, _ = listener.accept()
        with wire:
            try:
                _attend(wire, desk, users)
            except OSError as error:
                logger.warning("a request was cut: %s", error)


def _attend(wire: socket.socket, desk: Desk, users: Collection[int]) -> None:
    peer = Peer(*UCRED.unpack(wire.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size)))
    if peer.uid not in users:
        logger.warning("process %d of user %d may not ask", peer.pid, peer.uid)
        return
    wire.settimeout(PATIENCE)
    packet, _, flags, _ = wire.recvmsg(MAX_REQUEST)
    if not packet:
        return
    wire.send(refused("too_large") if flags & socket.MSG_TRUNC else desk.answer(packet, peer))
