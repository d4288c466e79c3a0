"""What may be asked of an owned host, and who is asked."""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from ..choices import Trust
from ..errors import BadPayload, GivenUp, ProtocolError
from ..models import Host
from ..payloads import (
    DomainDetails,
    DomainFacts,
    HostFacts,
    domain_details,
    domain_list,
    host_facts,
)
from ..untrusted import parse_json
from .line import Line
from .transport import Question, Timeouts

Found = TypeVar("Found")
MIB: Final = 2**20


# The daemon gives libvirt 5 s for a read and 10 s for a listing; its own answer needs a little longer.
READ: Final = Timeouts(connect=3, read=7, total=10)
LIST: Final = Timeouts(connect=3, read=12, total=15)


@dataclass(frozen=True)
class Agent:
    """Speaks with one owned host. All calls raise AgentError."""

    line: Line
    ip: str
    port: int
    insist: bool = False

    def host(self) -> HostFacts:
        """The host's inventory. Its identity is checked once more, against the one that TLS verified."""
        facts = self._checked(host_facts, self._json("/v1/host", READ, MIB // 16))
        if facts["uuid"] != self.line.host_id:
            raise ProtocolError("the inventory of another host")
        return facts

    def domains(self) -> list[DomainFacts]:
        return self._checked(domain_list, self._json("/v1/domains", LIST, 8 * MIB))

    def domain(self, domain_id: uuid.UUID) -> DomainDetails:
        details = self._checked(domain_details, self._json(f"/v1/domains/{domain_id}", READ, MIB))
        if details["uuid"] != domain_id:
            raise ProtocolError("another domain")
        return details

    def xml(self, domain_id: uuid.UUID, which: Literal["live", "inactive"] | None = None) -> str:
        """The domain's XML; of None, what is live when it is active, else what is stored."""
        query = f"?which={which}" if which else ""
        body = self._get(f"/v1/domains/{domain_id}/xml{query}", "application/xml", READ, 4 * MIB)
        try:
            return body.decode()
        except UnicodeDecodeError:
            raise ProtocolError("XML that is no UTF-8") from None

    def screenshot(self, domain_id: uuid.UUID) -> bytes:
        """A PNG of the domain's screen."""
        return self._get(f"/v1/domains/{domain_id}/screenshot", "image/png", READ, 16 * MIB)

    def _json(self, path: str, timeouts: Timeouts, limit: int) -> object:
        return self._checked(parse_json, self._get(path, "application/json", timeouts, limit))

    def _get(self, path: str, media_type: str, timeouts: Timeouts, limit: int) -> bytes:
        question = Question(path, media_type, timeouts, limit)
        return self.line.get(self.ip, self.port, question, insist=self.insist)

    @staticmethod
    def _checked(check: Callable[[Any], Found], value: object) -> Found:
        try:
            return check(value)
        except BadPayload as error:
            raise ProtocolError(str(error)) from None


_lock = threading.Lock()
_lines: dict[uuid.UUID, Line] = {}


def agent_of(host: Host, *, at: tuple[str, int] | None = None, insist: bool = False) -> Agent:
    """Return the Agent of an owned host, at its address or at another one.

    A probe insists: it tries also while the breaker is open, since it is how a host is found well again.

    Raises:
        GivenUp: for a host that was denied or retired.
    """
    if host.trust in {Trust.DENIED, Trust.RETIRED}:
        raise GivenUp(host.trust)
    with _lock:
        line = _lines.setdefault(host.uuid, Line(host.uuid))
    ip, port = at or (host.address, host.port)
    return Agent(line, ip, port, insist)


def hang_up(host: Host) -> None:
    """Close the connections to a host that is ours no more."""
    with _lock:
        line = _lines.pop(host.uuid, None)
    if line is not None:
        line.close()
