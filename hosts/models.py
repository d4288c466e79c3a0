"""What the manager knows of each hypervisor, and the keys by which hypervisors join."""

import uuid
from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.utils import timezone
from uuid_utils.compat import uuid7

from .choices import (
    BEGUN_STATES,
    DAEMON_PORT,
    LONGEST_LABEL,
    OFFLINE_AFTER,
    OPEN_STATES,
    OVERDUE_AFTER,
    STALE_AFTER,
    STALE_AFTER_MISSED_PROBES,
    Approval,
    OperationState,
    Status,
    TargetType,
    Trust,
)


def status_expression(prefix: str = "", now: datetime | None = None) -> Case:
    """The status of a host as SQL, so that a stopped worker cannot leave a host `online` for ever.

    `prefix` reaches a host from a related model, as in `host__`.
    """
    now = now or timezone.now()

    def where(**conditions: object) -> Q:
        return Q(**{f"{prefix}{name}": value for name, value in conditions.items()})

    return Case(
        When(
            where(last_seen__isnull=True) | where(trust__in=[Trust.DENIED, Trust.RETIRED]),
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
    join_key = models.ForeignKey("JoinKey", models.SET_NULL, null=True, blank=True, related_name="hosts")
    approved_at = models.DateTimeField(null=True, blank=True, help_text="When a person approved it.")
    owned_at = models.DateTimeField(null=True, blank=True)
    # When its certificate was last tried to be renewed: who tries next waits a while.
    renewal_tried_at = models.DateTimeField(null=True, blank=True, editable=False)
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


class HostCertificate(models.Model):
    """A certificate that was signed for a host: one row each, kept also when the host is forgotten."""

    host = models.ForeignKey(Host, models.SET_NULL, null=True, blank=True, related_name="certificates")
    host_uuid = models.UUIDField(db_index=True)
    serial = models.CharField(max_length=50, unique=True)
    public_key_sha256 = models.CharField(max_length=64)
    issued_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()

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


class OperationQuerySet(QuerySet["Operation"]):
    def open(self) -> Self:
        return self.filter(state__in=OPEN_STATES)

    def ended(self) -> Self:
        return self.exclude(state__in=OPEN_STATES)

    def with_overdue(self) -> Self:
        """Say of each as `is_overdue` whether it goes on after its deadline.

        What has begun has no verdict before libvirt has ended it. Of many domains the parts tell.
        """
        begun = Q(state__in=BEGUN_STATES, deadline__lt=timezone.now() - OVERDUE_AFTER)
        return self.annotate(is_overdue=begun & ~Q(target_type=TargetType.SELECTION))


class Operation(models.Model):
    """A change to a host or a domain: a row before anything is sent, with exactly one verdict in the end.

    Names and ids of actor, host and target are kept as text too: the row outlives what they point to.
    `problem` is `{type, detail}` of a verdict that is not `succeeded`. Times are the server's clock.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    parent = models.ForeignKey("self", models.CASCADE, null=True, blank=True, related_name="children")
    # The place among the children of a parent, from 0.
    position = models.PositiveIntegerField(default=0)

    actor = models.ForeignKey("auth.User", models.SET_NULL, null=True, blank=True, related_name="+")
    actor_name = models.CharField(max_length=150, blank=True)
    idempotency_key = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001 -- null is not unique
    fingerprint = models.CharField(max_length=64, blank=True, help_text="SHA-256 of what was asked.")

    host = models.ForeignKey(Host, models.SET_NULL, null=True, blank=True, related_name="operations")
    host_name = models.CharField(max_length=255, blank=True)
    target_type = models.CharField(max_length=10, choices=TargetType)
    target_id = models.BigIntegerField(null=True, blank=True, help_text="The server's own id of the target.")
    target_uuid = models.UUIDField(null=True, blank=True)
    target_name = models.CharField(max_length=255, blank=True)
    verb = models.CharField(max_length=20)
    args = models.JSONField(default=dict, blank=True)
    precondition = models.JSONField(default=dict, blank=True)
    deadline = models.DateTimeField()

    state = models.CharField(max_length=10, choices=OperationState, default=OperationState.ACCEPTED)
    attempts = models.PositiveIntegerField(default=0)
    # When the carrier may look at it (again). Taking it moves this on: two carriers never hold one operation.
    due_at = models.DateTimeField(default=timezone.now)
    # The journal of the daemon to which it was first sent; another journal is only asked, never sent to.
    journal_id = models.CharField(max_length=64, blank=True)
    cancel_asked_at = models.DateTimeField(null=True, blank=True)
    # The daemon was told that the verdict is stored here, and may forget it.
    acknowledged = models.BooleanField(default=False)
    progress = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Per cent, where libvirt tells."
    )
    result = models.JSONField(default=dict, blank=True)
    problem = models.JSONField(null=True, blank=True)

    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    is_overdue: bool  # annotated by OperationQuerySet.with_overdue()

    objects = OperationQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["actor", "idempotency_key"], name="one_operation_per_actor_and_key"
            )
        ]
        indexes = [
            models.Index(fields=["state", "due_at"]),
            models.Index(fields=["target_type", "target_id", "-created_at"]),
            models.Index(fields=["-created_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.target_name}"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES


class OperationEvent(models.Model):
    """One move of an operation: the lines of its timeline."""

    operation = models.ForeignKey(Operation, models.CASCADE, related_name="events")
    at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=10, choices=OperationState)
    detail = models.TextField(blank=True)

    class Meta:
        # In the order of the moves, which a clock that is set back does not change.
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.state} at {self.at:%H:%M:%S}"
