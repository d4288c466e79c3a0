"""A listing that a host told on its stream of events: what an Agent is answered, without asking."""

import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from ..errors import ProtocolError
from ..payloads import DomainFacts, HostFacts, domain_list, host_facts
from .checking import checked
from .transport import problem_answer


@dataclass(frozen=True)
class StreamedListing:
    """The message of a host. Both calls raise AgentError, as those of an Agent do."""

    host_id: uuid.UUID
    data: dict[str, Any]

    def host(self) -> HostFacts:
        """The host's inventory."""
        return own_facts(self.host_id, self.data.get("host"))

    def domains(self) -> list[DomainFacts]:
        if "problem" in self.data:
            raise problem_answer(HTTPStatus.SERVICE_UNAVAILABLE, self.data["problem"])
        return checked(domain_list, self.data)


def own_facts(host_id: uuid.UUID, value: object) -> HostFacts:
    """Check an inventory, and its identity once more, against the one that TLS verified.

    Raises ProtocolError.
    """
    facts = checked(host_facts, value)
    if facts["uuid"] != host_id:
        raise ProtocolError("the inventory of another host")
    return facts
