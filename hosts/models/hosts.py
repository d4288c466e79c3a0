"""What the manager knows of each hypervisor, and the keys by which hypervisors join."""

import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Final, Self

from cryptography import x509
from django.contrib.auth.models import User
from django.db import models
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.utils import timezone

from access.choices import Role, Target
from access.models import Place
from access.permissions import Rights, rights_of

from .. import siblings
from ..choices import (
    DAEMON_PORT,
    GIVEN_UP,
    LONGEST_LABEL,
    OFFLINE_AFTER,
    STALE_AFTER,
    STALE_AFTER_MISSED_PROBES,
    Approval,
    JoinedBy,
    Status,
    Trust,
)
from ..errors import DuplicateIdentity

# Five years of renewals.
CERTIFICATES_SHOWN: Final = 100


def status_expression(prefix: str = "", now: datetime | None = None) -> Case:
    """The status of a host as SQL, so that a stopped worker cannot leave a host `online` for ever.

    `prefix` reaches a host from a related model, as in `host__`.
    """
    now = now or timezone.now()

    def where(**conditions: object) -> Q:
        return Q(**{f"{prefix}{name}": value for name, value in conditions.items()})

    return Case(
        When(
            where(last_seen__isnull=True) | where(trust__in=GIVEN_UP),
            Value(Status.UNKNOWN),
        ),
        When(where(last_seen__lt=now - OFFLINE_AFTER), Value(Status.OFFLINE)),
        When(
            where(last_seen__lt=now - STALE_AFTER) | where(missed_probes__gte=STALE_AFTER_MISSED_PROBES),
            Value(Status.STALE),
        ),
        default=Value(Status.ONLINE),
        output_field=models.CharField(),
    )


class HostQuerySet(QuerySet["Host"]):
    def with_status(self, now: datetime | None = None) -> Self:
        return self.annotate(status=status_expression(now=now))

    def owned(self) -> Self:
        return self.filter(trust=Trust.OWNED)

    def spoken_to(self) -> Self:
        """The owned ones, but for an identity that two machines show: neither of the two is spoken to."""
        return self.owned().exclude(problem=DuplicateIdentity.problem)

    def waiting(self) -> Self:
        """Those that proved themselves, and wait for a person."""
        return self.filter(trust=Trust.PENDING, approved_at=None)

    def named(self, text: str) -> Self:
        """Those that a person may mean by this: a name or a UUID."""
        try:
            return self.filter(uuid=uuid.UUID(text))
        except ValueError:
            return self.filter(hostname__iexact=text)

    def granted(self, rights: Rights, role: Role) -> Self:
        """The hosts on which a role is had."""
        return self if rights.everywhere(role) else self.filter(pk__in=rights.keys(Target.HOST, role))

    def visible_to(self, user: User) -> Self:
        return self.granted(rights_of(user), Role.VIEWER)

    def named_to(self, rights: Rights) -> Self:
        """The hosts of which one knows the name: those that he sees, and those of domains that he sees."""
        if rights.everywhere(Role.VIEWER):
            return self
        by_domain = siblings.ids_of_granted_domains(rights, Role.VIEWER, "host")
        return self.filter(Q(pk__in=rights.keys(Target.HOST, Role.VIEWER)) | Q(pk__in=by_domain))


class Host(models.Model):
    """A daemon with an identity. `uuid` is derived from its key: the identity is never an address.

    `address` and `port` are where it last proved that identity. Sizes are bytes.
    """

    uuid = models.UUIDField(unique=True)
    hostname = models.CharField(max_length=255, blank=True)
    address = models.GenericIPAddressField()
    port = models.PositiveIntegerField(default=DAEMON_PORT)
    trust = models.CharField(max_length=10, choices=Trust, default=Trust.FOUND)
    # Why it is not well, as a stable word (a problem type) and in plain words. Empty when all is well.
    problem = models.CharField(max_length=40, blank=True)
    reason = models.TextField(blank=True)
    first_seen = models.DateTimeField(default=timezone.now)
    last_seen = models.DateTimeField(null=True, blank=True)
    missed_probes = models.PositiveIntegerField(default=0)

    # Trust: what was seen and signed.
    public_key_sha256 = models.CharField(max_length=64, blank=True)
    certificate_serial = models.CharField(max_length=50, blank=True)
    certificate_expires_at = models.DateTimeField(null=True, blank=True)
    # Which authority signed the certificate in use, and by which ones the host believes us (SHA-256 each).
    signed_by = models.CharField(max_length=64, blank=True, editable=False)
    believes = models.CharField(max_length=64, blank=True, editable=False)
    join_key = models.ForeignKey("JoinKey", models.SET_NULL, null=True, blank=True, related_name="hosts")
    approved_at = models.DateTimeField(null=True, blank=True, help_text="When a person approved it.")
    approved_by = models.CharField(max_length=150, blank=True, help_text="The name of the person who did.")
    joined_by = models.CharField(max_length=10, choices=JoinedBy, blank=True)
    owned_at = models.DateTimeField(null=True, blank=True)
    # When its certificate was last tried to be renewed: who tries next waits a while.
    renewal_tried_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Until when it is asked again to forget this server, after it was retired; empty: it did, or need not.
    farewell_until = models.DateTimeField(null=True, blank=True, editable=False)
    farewell_tried_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Only one process enrols a host at a time; one that died holds it up until then.
    enrolling_until = models.DateTimeField(null=True, blank=True, editable=False)

    # Inventory, as the daemon last told it.
    inventory_at = models.DateTimeField(null=True, blank=True)
    listed_at = models.DateTimeField(null=True, blank=True, help_text="When its domains were last listed.")
    daemon_version = models.CharField(max_length=50, blank=True)
    features = models.JSONField(default=list, blank=True)
    machine_id = models.CharField(max_length=64, blank=True)
    boot_id = models.CharField(max_length=64, blank=True)
    libvirt_uuid = models.UUIDField(null=True, blank=True)
    libvirt_uri = models.CharField(max_length=255, blank=True)
    libvirt_version = models.CharField(max_length=50, blank=True)
    libvirt_alive = models.BooleanField(null=True, blank=True)
    libvirt_error = models.TextField(blank=True)
    hypervisor = models.CharField(max_length=50, blank=True)
    hypervisor_version = models.CharField(max_length=50, blank=True)
    cpus = models.PositiveIntegerField(null=True, blank=True)
    cpu_model = models.CharField(max_length=255, blank=True)
    memory = models.PositiveBigIntegerField(null=True, blank=True)
    memory_free = models.PositiveBigIntegerField(null=True, blank=True)
    load = models.JSONField(default=list, blank=True)
    journal_id = models.CharField(max_length=64, blank=True, help_text="Names its journal of operations.")

    # The watcher that follows its events: when it last heard from it, and which one it is. The generation
    # grows with each take-over, and a watcher of an older one writes nothing.
    watched_at = models.DateTimeField(null=True, blank=True, editable=False)
    watch_generation = models.PositiveBigIntegerField(default=0, editable=False)

    status: str  # annotated by HostQuerySet.with_status()

    objects = HostQuerySet.as_manager()

    class Meta:
        ordering = ["hostname", "address", "id"]
        indexes = [models.Index(fields=["trust", "last_seen"]), models.Index(fields=["address"])]

    def __str__(self) -> str:
        return self.hostname or self.address

    def places(self) -> Iterator[Place]:
        yield Place(Target.HOST, object_id=self.pk)

    def twins(self, user: User) -> "HostQuerySet":
        """The other owned hosts whose libvirt has the same UUID, as far as this user sees them."""
        seen = Host.objects.visible_to(user).owned().exclude(pk=self.pk)
        return seen.filter(libvirt_uuid=self.libvirt_uuid) if self.libvirt_uuid else seen.none()

    @property
    def given_up(self) -> bool:
        return self.trust in GIVEN_UP

    @property
    def duplicated(self) -> bool:
        """Whether another machine shows this identity, so that neither is spoken to."""
        return self.problem == DuplicateIdentity.problem

    @property
    def latest_certificates(self) -> "QuerySet[HostCertificate]":
        """Those that were signed last for this identity, also before its row was forgotten."""
        return HostCertificate.objects.filter(host_uuid=self.uuid)[:CERTIFICATES_SHOWN]

    @property
    def libvirt(self) -> dict[str, object]:
        return {
            "uri": self.libvirt_uri,
            "version": self.libvirt_version,
            "hypervisor": self.hypervisor,
            "alive": self.libvirt_alive,
        }


class HostAddress(models.Model):
    """An address at which a host proved its identity. One address and port prove one host at a time."""

    host = models.ForeignKey(Host, models.CASCADE, related_name="addresses")
    ip = models.GenericIPAddressField()
    port = models.PositiveIntegerField(default=DAEMON_PORT)
    proved_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-proved_at"]
        constraints = [models.UniqueConstraint(fields=["ip", "port"], name="one_host_per_address_and_port")]

    def __str__(self) -> str:
        return f"{self.ip} port {self.port}"


class HostCertificateQuerySet(QuerySet["HostCertificate"]):
    def denies(self, certificate: x509.Certificate) -> bool:
        return self.filter(serial=serial_of(certificate), denied_at__isnull=False).exists()


def serial_of(certificate: x509.Certificate) -> str:
    """A certificate's serial number as it is stored and shown: hex."""
    return f"{certificate.serial_number:x}"


class HostCertificate(models.Model):
    """A certificate that was signed for a host: one row each, kept also when the host is forgotten.

    `denied_at` is when its host was retired: whoever shows it from then on is not taken for a host of ours.
    """

    host = models.ForeignKey(Host, models.SET_NULL, null=True, blank=True, related_name="certificates")
    host_uuid = models.UUIDField(db_index=True)
    serial = models.CharField(max_length=50, unique=True)
    public_key_sha256 = models.CharField(max_length=64)
    issued_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    denied_at = models.DateTimeField(null=True, blank=True)

    objects = HostCertificateQuerySet.as_manager()

    class Meta:
        ordering = ["-issued_at", "-id"]

    def __str__(self) -> str:
        return self.serial


class QuarantinedKey(models.Model):
    """A public key that claimed or tried what it could not prove. It is shown, and not spoken to again."""

    public_key_sha256 = models.CharField(max_length=64, unique=True)
    claimed_uuid = models.UUIDField(null=True, blank=True)
    ip = models.GenericIPAddressField()
    problem = models.CharField(max_length=40)
    reason = models.TextField()
    first_seen = models.DateTimeField(default=timezone.now)
    last_seen = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-last_seen"]

    def __str__(self) -> str:
        return f"{self.public_key_sha256[:16]} at {self.ip}: {self.problem}"


class JoinKeyQuerySet(QuerySet["JoinKey"]):
    def usable(self, now: datetime | None = None) -> Self:
        return self.filter(
            Q(max_uses__isnull=True) | Q(uses__lt=F("max_uses")),
            revoked_at__isnull=True,
            expires_at__gt=now or timezone.now(),
        )


class JoinKey(models.Model):
    """A secret by which new hosts prove that they are ours. Only a key derived from the secret is kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    label = models.CharField(max_length=LONGEST_LABEL, blank=True)
    derived_key = models.BinaryField(max_length=32, editable=False)
    cidrs = models.JSONField(default=list, blank=True, help_text="Networks it may be used from; empty: any.")
    approve = models.CharField(max_length=10, choices=Approval, default=Approval.AUTO)
    max_uses = models.PositiveIntegerField(null=True, blank=True)
    uses = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey("auth.User", models.SET_NULL, null=True, blank=True, related_name="+")
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = JoinKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.label or str(self.id)

    @property
    def state(self) -> str:
        if self.revoked_at:
            return "revoked"
        if self.expires_at <= timezone.now():
            return "expired"
        if self.max_uses is not None and self.uses >= self.max_uses:
            return "spent"
        return "usable"
