"""Expiry recovery: the way to a host of ours whose certificate has expired.

TLS cannot verify such a certificate. So the host is dialled without verification, and before a byte is sent
its handshake must show the key that is pinned, in a certificate that an authority of ours signed. What may be
asked then is the renewal, and nothing else. Like a stranger, it is met on the standard library alone: no
session of the Agent ever goes without verification.
"""

import asyncio
import http.client
import json
from typing import Final

from cryptography import x509

from .. import guards, strangers
from ..errors import (
    AgentError,
    OutsideRanges,
    ProtocolError,
    RejectedByHost,
    TimedOut,
    Unreachable,
    WrongIdentity,
)
from ..models import Host, HostCertificate, serial_of
from ..payloads import signing_request
from ..strangers import Answer, CertificateDemanded, StrangerError
from ..trust import ClientIdentity, keys
from ..trust.keys import SigningRequest
from ..untrusted import parse_json
from .checking import checked
from .transport import refusal

DEADLINE: Final = 10.0
MAX_ANSWER: Final = 16384
SILENT: Final = frozenset({"refused", "unreachable"})


class Recovery:
    """The renewal of one owned host's certificate, as an Agent has it. All calls raise AgentError."""

    def __init__(self, host: Host, client: ClientIdentity) -> None:
        self._ip, self._port = host.address, host.port
        self._pinned = host.public_key_sha256
        self._client = client
        denied = HostCertificate.objects.filter(host_uuid=host.uuid, denied_at__isnull=False)
        self._denied = frozenset(denied.values_list("serial", flat=True))
        self._context = client.introducing_context()

    def signing_request(self) -> SigningRequest:
        """See `Agent.signing_request`."""
        return checked(signing_request, self._ask("POST", "/v1/pki/csr", {}))

    def put_certificate(self, pem: str) -> None:
        """See `Agent.put_certificate`."""
        self._ask("PUT", "/v1/pki/certificate", {"certificate": pem})

    def _ask(self, method: str, path: str, body: dict[str, str]) -> object:
        if not guards.may_dial(self._ip):
            raise OutsideRanges
        request = strangers.request(method, path, self._ip, json.dumps(body).encode())
        try:
            return _read(asyncio.run(self._call(request)))
        except TimeoutError:
            raise TimedOut from None
        except CertificateDemanded:
            raise RejectedByHost from None
        except StrangerError as error:
            raise _translated(error) from None

    async def _call(self, request: bytes) -> Answer:
        async with asyncio.timeout(DEADLINE):
            return await strangers.call(
                self._ip, self._port, self._context, request, limit=MAX_ANSWER, admit=self._admit
            )

    def _admit(self, der: bytes) -> None:
        """Demand the pinned key, in a certificate of ours that was not denied. Raises WrongIdentity."""
        try:
            shown = keys.fingerprint(keys.certificate_key(der))
        except ValueError:
            raise WrongIdentity from None
        certificate = x509.load_der_x509_certificate(der)
        if shown != self._pinned or not self._client.authority.recovers(certificate):
            raise WrongIdentity
        if serial_of(certificate) in self._denied:
            raise WrongIdentity


def _translated(error: StrangerError) -> AgentError:
    return Unreachable() if error.reason in SILENT else ProtocolError(error.reason)


def _read(answer: Answer) -> object:
    if answer.status != http.client.OK:
        raise refusal(answer.status, answer.body)
    return checked(parse_json, answer.body)
