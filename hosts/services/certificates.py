"""The certificates that were signed for hosts: each is a row, and the newest one is on its host."""

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from django.utils import timezone

from .. import trust
from ..models import Host, HostCertificate, serial_of
from ..trust import keys


def record_certificate(host: Host, certificate: x509.Certificate) -> None:
    """Keep what was signed for a host, before it is used."""
    key = keys.certificate_key(certificate.public_bytes(Encoding.DER))
    HostCertificate.objects.get_or_create(
        serial=serial_of(certificate),
        defaults={
            "host": host,
            "host_uuid": host.uuid,
            "public_key_sha256": keys.fingerprint(key),
            "expires_at": certificate.not_valid_after_utc,
        },
    )


def note_in_use(host: Host, certificate: x509.Certificate) -> None:
    """The host shows this certificate now. Pages show it with the next news of the host."""
    host.certificate_serial = serial_of(certificate)
    host.certificate_expires_at = certificate.not_valid_after_utc
    authority = trust.ca()
    host.signed_by = authority.fingerprint if authority.issued(certificate) else ""
    host.save(update_fields=["certificate_serial", "certificate_expires_at", "signed_by"])


def deny_certificates(host: Host) -> None:
    """What was signed for the host until now makes nobody a host of ours any more."""
    HostCertificate.objects.filter(host_uuid=host.uuid, denied_at=None).update(denied_at=timezone.now())
