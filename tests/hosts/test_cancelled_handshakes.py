"""A probe that is cut off does no harm to the next one, which gets the same file descriptor."""

import asyncio
import socket
import threading
from pathlib import Path

from hosts.identify import Prober, Stranger
from hosts.trust import keys
from tests.hosts.peers import Peer, self_signed, server_context

DEADLINE = 0.2


async def test_a_deadline_that_passes_while_the_handshake_ends(tmp_path: Path) -> None:
    """The loop was busy elsewhere: it learns of the deadline and of the answer in the same turn."""
    key = keys.new_key()
    context = server_context(tmp_path, key, self_signed(key))
    greeted = threading.Event()

    def shake_hands(connection: socket.socket) -> None:
        connection.recv(1, socket.MSG_PEEK)
        greeted.set()
        with context.wrap_socket(connection, server_side=True) as speaker:
            while speaker.recv(4096):
                pass

    prober = Prober(None)
    with Peer(shake_hands) as peer:
        cut_off = asyncio.create_task(prober.identify(peer.ip, peer.port, DEADLINE))
        while not greeted.is_set():
            await asyncio.sleep(0)
        threading.Event().wait(2 * DEADLINE)
        assert await cut_off == Stranger("too_slow")
        assert await prober.identify(peer.ip, peer.port, DEADLINE) == Stranger("too_slow")
