"""A listing that a host told on its stream of events: what an Agent is answered, without asking."""

import uuid
from dataclasses import dataclass
from typing import Any

from ..errors import BadPayload, ProtocolError
from ..payloads import DomainFacts, HostFacts, domain_list, host_facts
from .transport import problem_answer

SERVICE_UNAVAILABLE = 503


@dataclass(frozen=True)
class Listing:
    """The message of a host. Both calls raise AgentError, as those of an Agent do."""

    host_id: uuid.UUID
    data: dict[str, Any]

    def host(self) -> HostFacts:
        """The host's inventory."""
        return own_facts(self.host_id, self.data.get("host"))

    def domains(self) -> list[DomainFacts]:
        if "problem" in self.data:
            raise problem_answer(SERVICE_UNAVAILABLE, self.data["problem"])
        try:
            return domain_list(self.data)
        except BadPayload as error:
            raise ProtocolError(str(error)) from None


def own_facts(host_id: uuid.UUID, value: object) -> HostFacts:
    """Check an inventory, and its identity once more, against the one that TLS verified.

    Raises ProtocolError.
    """
    try:
        facts = host_facts(value)
    except BadPayload as error:
        raise ProtocolError(str(error)) from None
    if facts["uuid"] != host_id:
        raise ProtocolError("the inventory of another host")
    return facts
