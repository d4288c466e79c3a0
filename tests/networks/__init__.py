"""Networks for tests, in namespaces of their own: nothing a test sends leaves this machine."""

from .frames import Frames, watched
from .namespace import Namespace, connect
from .peers import foreign_https, ignore_ping, listening, socket_in, ssh_server, tarpit
from .topology import Network, Segment, dense, sparse

__all__ = [
    "Frames",
    "Namespace",
    "Network",
    "Segment",
    "connect",
    "dense",
    "foreign_https",
    "ignore_ping",
    "listening",
    "socket_in",
    "sparse",
    "ssh_server",
    "tarpit",
    "watched",
]
