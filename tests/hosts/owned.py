"""An owned host as it stands on the network: its key, and peers that show the certificate of it."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hosts.agent import Agent, agent_of, hang_up
from hosts.models import Host
from hosts.trust import ClientIdentity, keys
from tests.signing import csr

from .peers import Peer, Talk, server_context


class Owned:
    """The key of a host that `client` owns. Nothing of it is stored."""

    def __init__(self, folder: Path, client: ClientIdentity) -> None:
        self.folder, self.client = folder, client
        self.key = keys.new_key()
        self.id = keys.daemon_id(keys.spki(self.key.public_key()))

    def context(self, *, client_ca: str = "") -> ssl.SSLContext:
        """TLS as a well daemon has it; by `client_ca` (PEM) it believes another authority."""
        ca = self.client.authority
        certificate = ca.sign_host(csr(self.key))
        return server_context(self.folder, self.key, certificate, client_ca=client_ca or ca.pem)

    def host(self, peer: Peer, **more: Any) -> Host:
        return Host(**{"uuid": self.id, "address": peer.ip, "port": peer.port, "trust": "owned"} | more)

    @contextmanager
    def served(self, talk: Talk, context: ssl.SSLContext | None = None) -> Iterator[tuple[Agent, Peer]]:
        """The Agent of the host, and the peer that it speaks to."""
        with Peer(talk, context or self.context()) as peer:
            host = self.host(peer)
            yield agent_of(host), peer
            hang_up(host)
