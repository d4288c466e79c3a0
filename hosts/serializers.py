"""Hosts and join keys as the API shows them."""

from datetime import timedelta
from typing import Any

from rest_framework import serializers

from . import siblings
from .agent import HopReport
from .choices import (
    DAEMON_PORT,
    JOIN_KEY_LIFE,
    LONGEST_JOIN_KEY_LIFE,
    LONGEST_LABEL,
    MAX_PORT,
    MAX_USES,
    MOST_APPROVED,
    Approval,
    Hop,
    HopOutcome,
    JoinedBy,
    Status,
    TargetType,
)
from .models import Host, HostAddress, HostCertificate, JoinKey, Operation, OperationEvent
from .services import ConnectionReport

JOIN_KEY_STATES = [(state, state) for state in ("usable", "revoked", "expired", "spent")]


class LibvirtSerializer(serializers.Serializer[dict[str, object]]):
    """The hypervisor as its libvirt tells it. `alive` is null until it was asked."""

    uri = serializers.CharField()
    version = serializers.CharField()
    hypervisor = serializers.CharField()
    alive = serializers.BooleanField(allow_null=True)


class HostList(serializers.ListSerializer[Any]):
    """Counts the domains of all hosts at once, not of each."""

    child: "HostSerializer"

    def to_representation(self, data: Any) -> list[Any]:
        hosts = list(data)
        self.child.counted = siblings.domain_counts([host.pk for host in hosts])
        return super().to_representation(hosts)


class HostSerializer(serializers.ModelSerializer[Host]):
    """A host from `Host.objects.with_status()`. `problem` is the stable word for `reason`; empty: well."""

    counted: dict[int, siblings.DomainCounts] | None = None

    addresses = serializers.SlugRelatedField[Any](many=True, read_only=True, slug_field="ip")
    status = serializers.ChoiceField(choices=Status.choices, read_only=True)
    libvirt = LibvirtSerializer(read_only=True)
    load = serializers.ListField(child=serializers.FloatField(), read_only=True)
    domain_counts = serializers.SerializerMethodField()

    class Meta:
        model = Host
        list_serializer_class = HostList
        fields = [
            *(
                "id",
                "uuid",
                "hostname",
                "address",
                "addresses",
                "port",
                "trust",
                "status",
                "problem",
                "reason",
            ),
            *(
                "first_seen",
                "last_seen",
                "daemon_version",
                "libvirt",
                "cpus",
                "cpu_model",
                "memory",
                "memory_free",
            ),
            *("load", "domain_counts"),
        ]
        read_only_fields = fields

    def get_domain_counts(self, host: Host) -> dict[str, int]:
        counts = self.counted if self.counted is not None else siblings.domain_counts([host.pk])
        return counts[host.pk]


class NewHostSerializer(serializers.Serializer[Host]):
    """Where a daemon listens, to add it by hand."""

    address = serializers.IPAddressField()
    port = serializers.IntegerField(min_value=1, max_value=MAX_PORT, default=DAEMON_PORT)


class AdoptSerializer(serializers.Serializer[Host]):
    """What a person read on the host. Case, spaces and hyphens do not matter."""

    code = serializers.CharField(max_length=50, write_only=True)


class ApproveSerializer(serializers.Serializer[Host]):
    """Which hosts are let in, by the server's own ids."""

    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1),
        min_length=1,
        max_length=MOST_APPROVED,
    )


class VerdictSerializer(serializers.Serializer[Any]):
    """What became of one of them. `problem` is the stable word for `reason`; empty: it was approved."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    problem = serializers.CharField(allow_blank=True)
    reason = serializers.CharField(allow_blank=True)


class HostCertificateSerializer(serializers.ModelSerializer[HostCertificate]):
    """One that was signed for a host; denied from when the host was retired."""

    class Meta:
        model = HostCertificate
        fields = ["serial", "public_key_sha256", "issued_at", "expires_at", "denied_at"]
        read_only_fields = fields


class ProofSerializer(serializers.ModelSerializer[HostAddress]):
    """Where a host last proved its identity, and when."""

    class Meta:
        model = HostAddress
        fields = ["ip", "port", "proved_at"]
        read_only_fields = fields


class HostTrustSerializer(serializers.ModelSerializer[Host]):
    """Why a host is believed. `joined_by` says how it was adopted, `approved_by` which person let it in."""

    join_key = serializers.SlugRelatedField[Any](read_only=True, slug_field="label", allow_null=True)
    joined_by = serializers.ChoiceField(JoinedBy.choices, read_only=True, allow_blank=True)
    certificates = HostCertificateSerializer(source="latest_certificates", many=True, read_only=True)
    proofs = ProofSerializer(source="addresses", many=True, read_only=True)

    class Meta:
        model = Host
        fields = [
            *("id", "uuid", "libvirt_uuid", "trust", "public_key_sha256"),
            *("certificate_serial", "certificate_expires_at"),
            *("owned_at", "joined_by", "join_key", "approved_at", "approved_by", "last_seen"),
            *("proofs", "certificates"),
        ]
        read_only_fields = fields


class HopSerializer(serializers.Serializer[HopReport]):
    """One hop. `detail` is what was found, or in words what is wrong; `problem` the stable word for that."""

    hop = serializers.ChoiceField(choices=Hop.choices)
    outcome = serializers.ChoiceField(choices=HopOutcome.choices)
    problem = serializers.CharField()
    detail = serializers.CharField()


class ConnectionSerializer(serializers.Serializer[ConnectionReport]):
    """`failed` names the hop that failed; null: the way to libvirt is free."""

    failed = serializers.ChoiceField(choices=Hop.choices, source="failed.hop", allow_null=True, default=None)
    hops = HopSerializer(many=True)


class JoinKeySerializer(serializers.ModelSerializer[JoinKey]):
    """A join key without its secret, which the server does not have."""

    state = serializers.ChoiceField(choices=JOIN_KEY_STATES, read_only=True)
    cidrs = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = JoinKey
        fields = [
            *("id", "label", "cidrs", "approve", "max_uses", "uses", "state"),
            *("created_at", "expires_at", "revoked_at"),
        ]
        read_only_fields = fields


class NewJoinKeySerializer(serializers.Serializer[JoinKey]):
    label = serializers.CharField(  # type: ignore[assignment]  # Field has an attribute of this name
        max_length=LONGEST_LABEL, allow_blank=True, default=""
    )
    cidrs = serializers.ListField(
        child=serializers.CharField(max_length=49),
        default=list,
        max_length=100,
        help_text="Empty: any network.",
    )
    expires_in = serializers.IntegerField(
        min_value=60,
        max_value=int(LONGEST_JOIN_KEY_LIFE.total_seconds()),
        default=int(JOIN_KEY_LIFE.total_seconds()),
        help_text="Seconds from now.",
    )
    max_uses = serializers.IntegerField(min_value=1, max_value=MAX_USES, allow_null=True, default=None)
    approve = serializers.ChoiceField(choices=Approval.choices, default=Approval.AUTO)

    def validate_expires_in(self, value: int) -> timedelta:
        return timedelta(seconds=value)


class CreatedJoinKeySerializer(JoinKeySerializer):
    """A new join key with the content of its join.json: this once."""

    join = serializers.DictField(read_only=True)

    class Meta(JoinKeySerializer.Meta):
        fields = [*JoinKeySerializer.Meta.fields, "join"]


class OperationTargetSerializer(serializers.Serializer[Operation]):
    """What an operation changes. `id` is the server's own; `uuid` is libvirt's of a domain, or the host's."""

    type = serializers.ChoiceField(choices=TargetType.choices, source="target_type")
    id = serializers.IntegerField(source="target_id", allow_null=True)
    uuid = serializers.UUIDField(source="target_uuid", allow_null=True)
    name = serializers.CharField(source="target_name")


class OperationHostSerializer(serializers.Serializer[Operation]):
    """The host of an operation, by the name it had; `id` is null when it was forgotten."""

    id = serializers.IntegerField(source="host_id", allow_null=True)
    hostname = serializers.CharField(source="host_name")


class OperationProblemSerializer(serializers.Serializer[dict[str, str]]):
    type = serializers.CharField()
    detail = serializers.CharField()


class OperationSerializer(serializers.ModelSerializer[Operation]):
    """A change that was asked for, as far as it has come. `actor` is the name of who asked."""

    target = OperationTargetSerializer(source="*", read_only=True)
    host = OperationHostSerializer(source="*", read_only=True)
    actor = serializers.CharField(source="actor_name", read_only=True)
    problem = OperationProblemSerializer(read_only=True, allow_null=True)
    result = serializers.DictField(read_only=True)

    class Meta:
        model = Operation
        fields = [
            *("id", "parent", "verb", "target", "host", "actor", "state", "progress", "attempts"),
            *("created_at", "started_at", "finished_at", "deadline", "problem", "result"),
        ]
        read_only_fields = fields


class OperationEventSerializer(serializers.ModelSerializer[OperationEvent]):
    class Meta:
        model = OperationEvent
        fields = ["at", "state", "detail"]
        read_only_fields = fields


class OperationDetailSerializer(OperationSerializer):
    """An operation with the moves that it made."""

    events = OperationEventSerializer(many=True, read_only=True)

    class Meta(OperationSerializer.Meta):
        fields = [*OperationSerializer.Meta.fields, "events"]
        read_only_fields = fields
