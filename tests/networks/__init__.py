"""Networks for tests, in namespaces of their own: nothing a test sends leaves this machine."""

from .namespace import Namespace, connect
from .peers import foreign_https, ignore_ping, socket_in, ssh_server, tarpit
from .topology import Network, Segment, dense, sparse

__all__ = [
    "Namespace",
    "Network",
    "Segment",
    "connect",
    "dense",
    "foreign_https",
    "ignore_ping",
    "socket_in",
    "sparse",
    "ssh_server",
    "tarpit",
]
