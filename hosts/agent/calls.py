"""What may be asked of an owned host, and who is asked."""

import json
import threading
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from ..errors import GivenUp, ProtocolError
from ..models import Host
from ..payloads import (
    DomainDetails,
    DomainFacts,
    HostFacts,
    OperationDocument,
    api_versions,
    domain_details,
    domain_list,
    operation_document,
    signing_request,
)
from ..trust.keys import SigningRequest
from ..untrusted import parse_json
from .checking import checked
from .line import Line
from .listing import own_facts
from .transport import Question, Timeouts

MIB: Final = 2**20

# The daemon gives libvirt 5 s for a read and 10 s for a listing; its own answer needs a little longer.
READ: Final = Timeouts(connect=3, read=7, total=10)
LIST: Final = Timeouts(connect=3, read=12, total=15)
# Of operations the daemon answers at once, without libvirt.
JOURNAL: Final = Timeouts(connect=2, read=3, total=5)
MOST_ACKNOWLEDGED: Final = 500


@dataclass(frozen=True)
class Agent:
    """Speaks with one owned host. All calls raise AgentError."""

    line: Line
    ip: str
    port: int
    insist: bool = False

    @property
    def calm(self) -> bool:
        """Whether the last call from this process went well, or there was none."""
        return self.line.breaker.calm

    def host(self) -> HostFacts:
        """The host's inventory."""
        return own_facts(self.line.host_id, self._json("/v1/host", READ, MIB // 16))

    def versions(self) -> list[str]:
        """The versions of the API that the daemon speaks."""
        return checked(api_versions, self._json("/.well-known/virshmanager", JOURNAL, MIB // 256))

    def domains(self) -> list[DomainFacts]:
        return checked(domain_list, self._json("/v1/domains", LIST, 8 * MIB))

    def domain(self, domain_id: uuid.UUID) -> DomainDetails:
        details = checked(domain_details, self._json(f"/v1/domains/{domain_id}", READ, MIB))
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

    def put_operation(
        self, operation_id: uuid.UUID, wanted: dict[str, Any], *, within: float = JOURNAL.total
    ) -> OperationDocument:
        """Have an operation carried out, or learn how far it is: the same id is never carried out twice.

        `wanted` is `{verb, target, args, deadline, precondition?, journal_id?}`. The answer comes at once; it
        is waited for `within` seconds at most. An error whose `may_have_arrived` is set leaves open whether
        the daemon has it.
        """
        return self._operation("PUT", operation_id, "", wanted, within)

    def operation(self, operation_id: uuid.UUID, *, within: float = JOURNAL.total) -> OperationDocument:
        return self._operation("GET", operation_id, "", None, within)

    def cancel_operation(
        self, operation_id: uuid.UUID, *, within: float = JOURNAL.total
    ) -> OperationDocument:
        return self._operation("POST", operation_id, "/cancel", {}, within)

    def acknowledge(self, ids: Collection[uuid.UUID]) -> None:
        """Tell the daemon that the verdicts of these operations, at most 500, are stored here."""
        body = {"ids": [str(one) for one in ids]}
        self._send("POST", "/v1/operations/acknowledge", body)

    def signing_request(self) -> SigningRequest:
        """The certificate that the host asks for; whether the key is its own is not checked yet."""
        return checked(signing_request, self._send("POST", "/v1/pki/csr", {}))

    def put_certificate(self, pem: str) -> None:
        """Have the host show another certificate for its key from now on."""
        self._send("PUT", "/v1/pki/certificate", {"certificate": pem})

    def put_authorities(self, pems: Sequence[str]) -> None:
        """Have the host believe this server by these authorities, and by no other."""
        self._send("PUT", "/v1/pki/ca", {"ca": list(pems)})

    def forget_owner(self) -> None:
        """Have the host belong to nobody; it ends all connections after its answer."""
        self._send("POST", "/v1/owner/forget", {})

    def _operation(
        self, method: str, operation_id: uuid.UUID, verb: str, body: object, within: float
    ) -> OperationDocument:
        timeouts = JOURNAL.shortened(within)
        told = self._send(method, f"/v1/operations/{operation_id}{verb}", body, timeouts)
        document = checked(operation_document, told)
        if document["id"] != operation_id:
            raise ProtocolError("another operation")
        return document

    def _send(self, method: str, path: str, body: object, timeouts: Timeouts = JOURNAL) -> object:
        """Ask with a body in JSON, or with None; return the answer, parsed."""
        content = None if body is None else json.dumps(body).encode()
        question = Question(path, "application/json", timeouts, MIB // 4, method, content)
        return checked(parse_json, self.line.ask(self.ip, self.port, question, insist=self.insist))

    def _json(self, path: str, timeouts: Timeouts, limit: int) -> object:
        return checked(parse_json, self._get(path, "application/json", timeouts, limit))

    def _get(self, path: str, media_type: str, timeouts: Timeouts, limit: int) -> bytes:
        question = Question(path, media_type, timeouts, limit)
        return self.line.ask(self.ip, self.port, question, insist=self.insist)


_lock = threading.Lock()
_lines: dict[uuid.UUID, Line] = {}


def agent_of(host: Host, *, at: tuple[str, int] | None = None, insist: bool = False) -> Agent:
    """Return the Agent of an owned host, at its address or at another one.

    A probe insists: it tries also while the breaker is open, since it is how a host is found well again.

    Raises:
        GivenUp: for a host that was denied or retired.
    """
    if host.given_up:
        raise GivenUp(host.trust)
    with _lock:
        line = _lines.setdefault(host.uuid, Line(host.uuid))
    ip, port = at or (host.address, host.port)
    return Agent(line, ip, port, insist)


def forget_owner(host: Host) -> None:
    """Have a retired host forget this server, on a line of its own: `agent_of` speaks to no such host.

    Raises:
        AgentError: when it did not say that it has.
    """
    line = Line(host.uuid)
    try:
        Agent(line, host.address, host.port, insist=True).forget_owner()
    finally:
        line.close()


def hang_up(host: Host) -> None:
    """Close the connections to a host that is ours no more."""
    with _lock:
        line = _lines.pop(host.uuid, None)
    if line is not None:
        line.close()
