"""Certificates of owned hosts are renewed from the 20th of their 30 days on, each at a moment of its own.

Who does not answer is not tried: its next good probe, or one that finds its certificate expired, shows that
it is there again.
"""

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from access import audit
from access.choices import Action

from .. import trust
from ..agent import Recovery, agent_of
from ..choices import OFFLINE_AFTER, Trust
from ..errors import AgentError, CertificateOutOfDate, GivenUp, WrongIdentity
from ..models import Host, HostQuerySet
from ..trust import keys
from ..trust.keys import SigningRequest
from .certificates import note_in_use, record_certificate
from .pacing import for_about, longest_untried
from .records import announce
from .refreshing import refresh

logger = logging.getLogger(__name__)

BEFORE_ITS_END: Final = timedelta(days=10)
# Hosts that were enrolled in one hour are not renewed in one hour.
SPREAD: Final = timedelta(days=5)
AGAIN_AFTER: Final = timedelta(minutes=5)


class Way(Protocol):
    """How a host is asked: by its Agent, or by the recovery."""

    def signing_request(self) -> SigningRequest: ...

    def put_certificate(self, pem: str) -> None: ...


def renew_due(seconds: float) -> int:
    """Renew what is due, one host after the other, for about so many seconds; return how many it were."""
    return sum(map(renew, in_turn(seconds, _due(timezone.now()))))


def in_turn(seconds: float, hosts: Iterable[Host]) -> Iterator[Host]:
    """Those of these hosts that nobody else tries, for about so many seconds."""
    return filter(_take_turn, for_about(seconds, hosts))


def renew(host: Host) -> bool:
    """Give an owned host a new certificate for its key; say whether that went well.

    Never raises for what the host or the signer does. One whose certificate has expired, or is
    of an authority that has left, is reached by the recovery.
    """
    try:
        try:
            _renew_by(agent_of(host, insist=True), host)
        except (CertificateOutOfDate, WrongIdentity) as error:
            if isinstance(error, WrongIdentity) and host.signed_by == trust.ca().fingerprint:
                raise
            _renew_by(Recovery(host, trust.server_identity()), host)
            refresh(host)  # it could not be spoken to until now
    except AgentError as error:
        logger.warning("The certificate of %s is not renewed: %s", host, error)
        return False
    announce(host)
    return True


def _renew_by(way: Way, host: Host) -> None:
    request = way.signing_request()
    if keys.fingerprint(request.key) != host.public_key_sha256:
        raise WrongIdentity
    certificate = trust.ca().sign_host(request.pem)
    _keep(host, certificate)
    way.put_certificate(certificate.public_bytes(Encoding.PEM).decode())
    with transaction.atomic():
        note_in_use(host, certificate)
        audit.record(Action.HOST_RENEW, host, detail={"serial": host.certificate_serial})


def _keep(host: Host, certificate: x509.Certificate) -> None:
    """Record it if the host is still ours: of one that was just retired it would not be denied any more."""
    with transaction.atomic():
        if not Host.objects.owned().filter(pk=host.pk).update(renewal_tried_at=timezone.now()):
            raise GivenUp(Trust.RETIRED)
        record_certificate(host, certificate)


def _due(now: datetime) -> Iterator[Host]:
    """The hosts whose moment has come."""
    answers = Q(last_seen__gt=now - OFFLINE_AFTER) | Q(problem=CertificateOutOfDate.problem)
    ends_soon = Q(certificate_expires_at__lt=now + BEFORE_ITS_END)
    rows: HostQuerySet = Host.objects.spoken_to().filter(answers, ends_soon)
    for host in longest_untried(rows, "renewal_tried_at", "certificate_expires_at"):
        # The identity decides where in the spread its moment is.
        waits = SPREAD * (host.uuid.bytes[0] / 256)
        if host.certificate_expires_at and host.certificate_expires_at < now + BEFORE_ITS_END - waits:
            yield host


def _take_turn(host: Host) -> bool:
    """One process tries a host at a time, and not again for a while."""
    now = timezone.now()
    free: HostQuerySet = Host.objects.filter(
        Q(renewal_tried_at=None) | Q(renewal_tried_at__lt=now - AGAIN_AFTER), pk=host.pk, trust=Trust.OWNED
    )
    return bool(free.update(renewal_tried_at=now))
