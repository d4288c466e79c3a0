"""What a namespace sends, frame by frame."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

from .namespace import Namespace

_EVERY_PROTOCOL = 3  # ETH_P_ALL
_SO_RCVBUFFORCE = 33  # socket(7); not in the module socket
_BUFFER = 16 << 20
_ARP, _IPV4 = b"\x08\x06", b"\x08\x00"
# Where a frame names whom it is for: the ARP target (RFC 826), the destination of an IPv4 packet.
_TARGET = {_ARP: slice(38, 42), _IPV4: slice(30, 34)}
_PROTOCOL, _TCP, _TCP_FLAGS, _SYN = 23, 6, 47, 2


class Frames:
    """Frames that left `device` since this began to watch."""

    def __init__(self, watcher: socket.socket) -> None:
        self._watcher = watcher
        self._sent: Counter[str] = Counter()
        self._dialled: Counter[str] = Counter()

    def sent_to(self, address: str) -> int:
        """How many frames were for `address`: ARP requests for it, and IPv4 packets to it."""
        self._read()
        return self._sent[address]

    def dialled(self, address: str) -> int:
        """How often TCP was begun to `address`; the kernel still speaks of connections that ended."""
        self._read()
        return self._dialled[address]

    def _read(self) -> None:
        while True:
            try:
                frame, origin = self._watcher.recvfrom(64)
            except BlockingIOError:
                return
            if origin[2] == socket.PACKET_OUTGOING and (target := _TARGET.get(frame[12:14])):
                address = str(IPv4Address(frame[target]))
                self._sent[address] += 1
                if frame[12:14] == _IPV4 and frame[_PROTOCOL] == _TCP and frame[_TCP_FLAGS] & _SYN:
                    self._dialled[address] += 1


@contextmanager
def watched(namespace: Namespace, device: str = "eth0") -> Iterator[Frames]:
    """Watch what `namespace` sends. The buffer of 16 MiB holds about 20,000 small frames between reads."""
    with namespace.entered():
        watcher = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERY_PROTOCOL))
    with watcher:
        watcher.setblocking(False)
        watcher.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        watcher.bind((device, _EVERY_PROTOCOL))
        yield Frames(watcher)
