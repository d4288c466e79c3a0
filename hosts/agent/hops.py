"""The test of a connection: from here to a host's libvirt, one hop after the other, until one fails.

Up to the certificate nothing is said to who answers, and nothing of him is believed; from there on it is the
Agent that asks. The whole takes half a minute at worst.
"""

import asyncio
import queue
import socket
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509

from .. import guards, strangers
from ..choices import Hop, HopOutcome, Trust
from ..errors import AgentError, HostBusy, ProblemAnswer, ProtocolError, sentence
from ..identify import API_VERSION
from ..models import Host, HostCertificate
from ..payloads import HostFacts
from ..strangers import CertificateDemanded, StrangerError
from ..trust import ClientIdentity, keys
from ..trust.client import stranger_context
from .calls import agent_of

NAME_SECONDS: Final = 2.0
HANDSHAKE_SECONDS: Final = 6.0


@dataclass(frozen=True)
class HopReport:
    """How one hop went. `problem` is a stable word when it failed, `detail` a sentence or a fact."""

    hop: Hop
    outcome: HopOutcome
    problem: str = ""
    detail: str = ""


class _Failed(Exception):
    def __init__(self, problem: str, detail: str = "") -> None:
        self.problem = problem
        super().__init__(detail or sentence(problem))


class _Noted(_Failed):
    """Worth a word, and no obstacle."""


class _Seen(Exception):
    """The handshake was good: all that was wanted of this connection. Carries the certificate in DER."""


def walk(host: Host, client: ClientIdentity) -> list[HopReport]:
    """Try each hop to a host; behind the first that fails, none. Never raises for what answers there."""
    way = _Way(host, client)
    reports: list[HopReport] = []
    blocked = False
    for hop in Hop:
        if blocked:
            reports.append(HopReport(hop, HopOutcome.UNTRIED))
            continue
        try:
            reports.append(HopReport(hop, HopOutcome.PASSED, detail=getattr(way, hop)()))
        except _Noted as note:
            reports.append(HopReport(hop, HopOutcome.NOTED, note.problem, str(note)))
        except _Failed as failure:
            reports.append(HopReport(hop, HopOutcome.FAILED, failure.problem, str(failure)))
            blocked = True
    return reports


class _Way:
    """The hops of one host, each a method of its name: it returns a fact, or raises _Failed."""

    def __init__(self, host: Host, client: ClientIdentity) -> None:
        self._host = host
        self._client = client
        self._refusal: StrangerError | None = None
        self._certificate = b""
        self._facts: HostFacts | None = None
        self._complaint: AgentError | None = None

    def name(self) -> str:
        name, address = self._host.hostname, self._host.address
        if not name:
            return ""
        if address not in _addresses_of(name):
            raise _Noted("name_elsewhere", sentence("name_elsewhere", name=name, address=address))
        return name

    def route(self) -> str:
        if not guards.may_dial(self._host.address):
            raise _Failed("outside_ranges")
        try:
            asyncio.run(self._shake_hands())
        except _Seen as seen:
            (self._certificate,) = seen.args
        except StrangerError as error:
            self._refusal = error
        except (TimeoutError, CertificateDemanded):
            self._refusal = StrangerError("too_slow")
        if self._refused("unreachable"):
            raise _Failed("unreachable")
        return self._host.address

    async def _shake_hands(self) -> None:
        def stop(certificate: bytes) -> None:
            raise _Seen(certificate)

        async with asyncio.timeout(HANDSHAKE_SECONDS):
            await strangers.call(self._host.address, self._host.port, stranger_context(), b"", admit=stop)

    def _refused(self, *reasons: str) -> bool:
        return self._refusal is not None and self._refusal.reason in reasons

    def port(self) -> str:
        if self._refused("refused"):
            raise _Failed("refused")
        return str(self._host.port)

    def tls(self) -> str:
        if self._refusal is not None:
            raise _Failed(self._refusal.reason)
        return "TLS 1.3"

    def certificate(self) -> str:
        try:
            shown = keys.fingerprint(keys.certificate_key(self._certificate))
            certificate = x509.load_der_x509_certificate(self._certificate)
            own = certificate.issuer == certificate.subject
        except (ValueError, TypeError):  # such names are read only now
            raise _Failed("not_virshmanager") from None
        if shown != self._host.public_key_sha256:
            raise _Failed("fingerprint_changed")
        if own:
            if self._host.trust == Trust.OWNED:
                raise _Failed("ownership_lost")
        else:
            self._check(certificate)
        return f"{certificate.serial_number:x}, {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"

    def _check(self, certificate: x509.Certificate) -> None:
        if not self._client.authority.believes(certificate):
            raise _Failed("owned_by_another")
        if HostCertificate.objects.denies(certificate):
            raise _Failed("certificate_denied")
        if not certificate.not_valid_before_utc <= datetime.now(UTC) <= certificate.not_valid_after_utc:
            raise _Failed("certificate_expired")

    def role(self) -> str:
        if self._host.trust != Trust.OWNED:
            raise _Failed("not_owned")
        try:
            self._facts = agent_of(self._host, insist=True).host()
        except (HostBusy, ProblemAnswer, ProtocolError) as error:
            self._complaint = error  # it let us in, and then something else was wrong
        except AgentError as error:
            raise _Failed(error.problem, error.reason) from None
        return str(self._client.server_id)

    def protocol(self) -> str:
        try:
            versions = agent_of(self._host, insist=True).versions()
        except AgentError as error:
            raise _Failed(error.problem, error.reason) from None
        if API_VERSION not in versions:
            raise _Failed("api_too_old")
        if isinstance(self._complaint, ProtocolError):
            raise _Failed(self._complaint.problem, self._complaint.reason)
        return API_VERSION

    def libvirt(self) -> str:
        if self._complaint is not None:
            raise _Failed(self._complaint.problem, self._complaint.reason)
        facts = self._facts
        if facts is None or not facts["libvirt_alive"]:
            detail = (facts["libvirt_error"] if facts else "") or "-"
            raise _Failed("libvirt_down", sentence("libvirt_down", detail=detail))
        return f"{facts['libvirt_uri']}, {facts['libvirt_version']}"


def _addresses_of(name: str) -> set[str]:
    """What a name leads to, asked of this machine's resolver; nothing when that does not answer in time."""
    found: queue.SimpleQueue[set[str]] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            places = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            places = []
        found.put({str(place[0]) for *_, place in places})

    # A resolver cannot be told when to give up: its thread is left to itself.
    threading.Thread(target=resolve, daemon=True).start()
    try:
        return found.get(timeout=NAME_SECONDS)
    except queue.Empty:
        return set()
