"""Domains as the API shows them: the mirror, with its age."""

from collections.abc import Mapping
from typing import Any, Final

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from access.permissions import rights_of
from hosts.models import Host

from . import services
from .choices import (
    LONGEST_DESCRIPTION,
    LONGEST_TAG,
    LONGEST_TITLE,
    MOST_TAGS,
    ConsoleKind,
    DomainState,
)
from .models import Domain
from .verbs import VERBS

_moment: Final = serializers.DateTimeField()


class HostOfDomainSerializer(serializers.ModelSerializer[Host]):
    class Meta:
        model = Host
        fields = ["id", "hostname"]


class DomainSerializer(serializers.ModelSerializer[Domain]):
    """A domain from `Domain.objects.with_stale().select_related("host")`.

    `stale` tells that `state` is only the last one known; `last_seen` is when its host last listed it.
    `actions` are the verbs that the caller may use on it now.
    """

    host = HostOfDomainSerializer(read_only=True)
    stale = serializers.BooleanField(read_only=True)
    tags = serializers.ListField(child=serializers.CharField(), read_only=True)
    last_seen = serializers.SerializerMethodField()
    actions = serializers.SerializerMethodField()

    class Meta:
        model = Domain
        fields = [
            *("id", "uuid", "name", "host", "state", "reason", "stale", "vcpus", "memory", "max_memory"),
            *(
                "persistent",
                "autostart",
                "title",
                "description",
                "tags",
                "first_seen",
                "last_seen",
                "missing_since",
            ),
            *("has_managed_save", "actions"),
        ]
        read_only_fields = fields

    def get_last_seen(self, domain: Domain) -> str:
        """A present domain was seen whenever its host was listed; that costs no write for each domain."""
        seen = domain.host.listed_at if domain.missing_since is None else None
        text: str = _moment.to_representation(max(domain.last_seen, seen or domain.last_seen))
        return text

    def get_actions(self, domain: Domain) -> list[str]:
        return services.actions_of(domain, rights_of(self.context["request"].user))


# What a list of them reads: a host alone has forty columns, some of them JSON.
READ_FOR_LISTS: Final = (
    *(name for name in DomainSerializer.Meta.fields if name not in {"host", "stale", "actions"}),
    *("libvirt_id", "host__hostname", "host__trust", "host__listed_at"),
)


class DiskSerializer(serializers.Serializer[dict[str, Any]]):
    target = serializers.CharField()
    bus = serializers.CharField()
    device = serializers.CharField()
    type = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]  # Field has an attribute of this name
    format = serializers.CharField()
    readonly = serializers.BooleanField()


class InterfaceSerializer(serializers.Serializer[dict[str, Any]]):
    mac = serializers.CharField()
    type = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]  # Field has an attribute of this name
    model = serializers.CharField()
    target = serializers.CharField()
    addresses = serializers.ListField(child=serializers.CharField())


class GraphicsSerializer(serializers.Serializer[dict[str, Any]]):
    type = serializers.CharField()
    listen = serializers.CharField()
    port = serializers.IntegerField(allow_null=True)


class DomainDetailSerializer(DomainSerializer):
    """A domain with its devices, as of `details_at` (null: not looked at yet)."""

    disks = DiskSerializer(many=True, source="details.disks", default=list, read_only=True)
    interfaces = InterfaceSerializer(many=True, source="details.interfaces", default=list, read_only=True)
    graphics = GraphicsSerializer(many=True, source="details.graphics", default=list, read_only=True)
    xml_hash = serializers.CharField(source="details.xml_hash", default="", read_only=True)

    class Meta(DomainSerializer.Meta):
        fields = [*DomainSerializer.Meta.fields, "disks", "interfaces", "graphics", "xml_hash", "details_at"]
        read_only_fields = fields


class ConsoleWishSerializer(serializers.Serializer[dict[str, str]]):
    """Which console is wished for."""

    kind = serializers.ChoiceField(choices=ConsoleKind.choices)


class ConsoleTicketSerializer(serializers.Serializer[dict[str, Any]]):
    """See ConsoleTicket: good for one console, by the same login, within `expires_in` seconds."""

    ticket = serializers.CharField(read_only=True)
    expires_in = serializers.IntegerField(read_only=True)
    url = serializers.CharField(read_only=True)


class AutostartSerializer(serializers.Serializer[dict[str, Any]]):
    enabled = serializers.BooleanField()


class MetadataSerializer(serializers.Serializer[dict[str, Any]]):
    """What a person says about a domain. What is left out stays."""

    title = serializers.CharField(
        max_length=LONGEST_TITLE, allow_blank=True, required=False, validators=[services.one_line]
    )
    description = serializers.CharField(
        max_length=LONGEST_DESCRIPTION, allow_blank=True, required=False, validators=[services.paragraphs]
    )
    tags = serializers.ListField(
        child=serializers.CharField(max_length=LONGEST_TAG, validators=[services.one_line]),
        max_length=MOST_TAGS,
        required=False,
    )

    def validate_tags(self, tags: list[str]) -> list[str]:
        return sorted(set(tags))

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError(_("Say what is to be changed: title, description or tags."))
        return attrs


class DefinitionSerializer(serializers.Serializer[dict[str, Any]]):
    """A domain as libvirt describes it; its daemon judges it."""

    xml = serializers.CharField(validators=[services.xml_of_a_size])
    xml_hash = serializers.RegexField(
        "^[0-9a-f]{64}$",
        required=False,
        allow_null=True,
        help_text="Of the definition that its writer has read; null: there must be none. Else it is refused.",
    )


class ExactSerializer(serializers.Serializer[dict[str, Any]]):
    """Refuses what it has no field for: a selector that is misspelt would mean more domains than it says."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if isinstance(data, Mapping) and (unknown := data.keys() - self.fields.keys()):
            raise serializers.ValidationError({min(unknown): [_("There is no such field.")]})
        known: dict[str, Any] = super().to_internal_value(data)
        return known


class SelectorSerializer(ExactSerializer):
    """Which domains are meant: those that fit all that is given. At least one thing must be."""

    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1),
        required=False,
        allow_empty=False,
        max_length=services.MOST_DOMAINS,
    )
    host = serializers.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    tag = serializers.CharField(max_length=LONGEST_TAG, required=False)
    state = serializers.ChoiceField(choices=DomainState.choices, required=False)


class BulkSerializer(ExactSerializer):
    """One verb on many domains. `stagger` are seconds between two beginnings."""

    verb = serializers.ChoiceField(choices=[name for name, verb in VERBS.items() if verb.button])
    selector = SelectorSerializer()
    order = serializers.ChoiceField(choices=list(services.ORDERS), default="given")
    stagger = serializers.IntegerField(min_value=0, max_value=services.LONGEST_STAGGER, default=0)
    stop_on_failure = serializers.BooleanField(default=False)
    dry_run = serializers.BooleanField(default=False)


class DomainReferenceSerializer(serializers.ModelSerializer[Domain]):
    host = HostOfDomainSerializer(read_only=True)

    class Meta:
        model = Domain
        fields = ["id", "name", "state", "host"]


class BulkPlanSerializer(serializers.Serializer[services.Plan]):
    """What a bulk operation would do: the domains in their order, and those left out with why."""

    chosen = DomainReferenceSerializer(many=True)
    skipped = serializers.ListField(child=serializers.DictField())
