"""The certificates that were signed for hosts: each is a row, and the newest one is on its host."""

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ..models import Host, HostCertificate
from ..trust import keys


def record_certificate(host: Host, certificate: x509.Certificate) -> None:
    """Keep what was signed for a host, before it is used."""
    serial = f"{certificate.serial_number:x}"
    key = keys.certificate_key(certificate.public_bytes(Encoding.DER))
    HostCertificate.objects.get_or_create(
        serial=serial,
        defaults={
            "host": host,
            "host_uuid": host.uuid,
            "public_key_sha256": keys.fingerprint(key),
            "expires_at": certificate.not_valid_after_utc,
        },
    )


def note_in_use(host: Host, certificate: x509.Certificate) -> None:
    """The host shows this certificate now. Pages show it with the next news of the host."""
    host.certificate_serial = f"{certificate.serial_number:x}"
    host.certificate_expires_at = certificate.not_valid_after_utc
    host.save(update_fields=["certificate_serial", "certificate_expires_at"])
