"""Which hop of the way to a host fails? Asked by a person, answered at once, stored nowhere."""

from dataclasses import dataclass

from .. import trust
from ..agent import HopReport, walk
from ..choices import HopOutcome
from ..errors import NotPossible
from ..models import Host


@dataclass(frozen=True)
class ConnectionReport:
    """How each hop went, in the order in which they are met."""

    hops: list[HopReport]

    @property
    def failed(self) -> HopReport | None:
        return next((hop for hop in self.hops if hop.outcome == HopOutcome.FAILED), None)


def try_connection(host: Host) -> ConnectionReport:
    """Try the way to a host, hop by hop.

    Raises:
        NotPossible: when it was denied or retired, and so is not dialled.
    """
    if host.given_up:
        raise NotPossible(host.trust)
    return ConnectionReport(walk(host, trust.server_identity()))
