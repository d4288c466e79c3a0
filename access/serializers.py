from datetime import timedelta
from typing import Any, ClassVar

from django.contrib.auth.models import Group, User
from django.core.validators import MaxValueValidator
from django.utils.translation import gettext as _
from rest_framework import serializers

from .choices import LONGEST_TAG, Resource, Role, Scope, Target
from .models import ApiToken, AuditEntry, Grant, Place, Quota
from .services import TOKEN_LIFE, Explanation, Line, Reason, Room, explained_verbs, names_of

TEN_YEARS = 10 * 365 * 86400


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    """A token without its text, which nobody can read again."""

    created_at = serializers.DateTimeField(source="created", read_only=True)
    expires_at = serializers.DateTimeField(
        source="expiry",
        read_only=True,
        allow_null=True,
        help_text="Null for tokens of earlier versions, which do not expire.",
    )
    expired = serializers.BooleanField(read_only=True)

    class Meta:
        model = ApiToken
        fields = ["id", "name", "scope", "created_at", "expires_at", "expired", "last_used_at"]
        read_only_fields = ["id", "scope", "last_used_at"]


class NewTokenSerializer(serializers.Serializer[ApiToken]):
    name = serializers.CharField(max_length=100)
    scope = serializers.ChoiceField(
        choices=Scope.choices,
        default=Scope.READ,
        help_text="It takes from what you may do, and adds nothing.",
    )
    expires_in = serializers.IntegerField(
        min_value=60,
        max_value=TEN_YEARS,
        default=int(TOKEN_LIFE.total_seconds()),
        help_text="Seconds from now; without it 90 days.",
    )

    def validate_expires_in(self, value: int) -> timedelta:
        return timedelta(seconds=value)


class CreatedTokenSerializer(TokenSerializer):
    """A new token with its text: this once."""

    token = serializers.CharField(read_only=True)

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]


class ActorSerializer(serializers.Serializer[AuditEntry]):
    """Who acted, as he was called then. `id` is null of one who has no account here."""

    id = serializers.IntegerField(source="actor_id", allow_null=True)
    name = serializers.CharField(source="actor_name")


class AuditTargetSerializer(serializers.Serializer[AuditEntry]):
    """What it was done to, as it was called then."""

    type = serializers.CharField(source="target_type")
    id = serializers.CharField(source="target_id")
    name = serializers.CharField(source="target_name")


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    """A row of the audit. Of one that is not chained yet `sequence` is null, and the hashes are empty."""

    actor = ActorSerializer(source="*", read_only=True)
    target = AuditTargetSerializer(source="*", read_only=True)
    detail = serializers.DictField(read_only=True)

    class Meta:
        model = AuditEntry
        fields = [
            *("sequence", "at", "actor", "via", "via_name", "source", "action", "target"),
            *("result", "problem", "detail", "previous_hash", "hash"),
        ]
        read_only_fields = fields


class GroupSerializer(serializers.ModelSerializer[Group]):
    members = serializers.IntegerField(read_only=True, help_text="How many users are in it.")

    class Meta:
        model = Group
        fields = ["id", "name", "members"]


class UserSerializer(serializers.ModelSerializer[User]):
    """`groups` are their ids. A superuser may do everything, whatever was granted to him."""

    name = serializers.CharField(source="username")
    active = serializers.BooleanField(source="is_active")
    superuser = serializers.BooleanField(source="is_superuser")
    created_at = serializers.DateTimeField(source="date_joined")

    class Meta:
        model = User
        fields = ["id", "name", "active", "superuser", "groups", "last_login", "created_at"]
        read_only_fields = fields


class NewUserSerializer(serializers.Serializer[User]):
    name = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=4096, write_only=True, trim_whitespace=False)
    groups = serializers.PrimaryKeyRelatedField(many=True, queryset=Group.objects.all(), default=list)


class ChangedUserSerializer(serializers.Serializer[User]):
    """What is left out stays."""

    active = serializers.BooleanField(required=False)
    groups = serializers.PrimaryKeyRelatedField(many=True, queryset=Group.objects.all(), required=False)


ROLES = {role.name.lower(): role for role in Role}
MOST = 2**63 - 1


class GrantSerializer(serializers.ModelSerializer[Grant]):
    """Of `user` and `group` one is null. `name` is that of the host or domain, or the tag."""

    role = serializers.SerializerMethodField()
    name = serializers.SerializerMethodField()

    class Meta:
        model = Grant
        fields = ["id", "user", "group", "role", "target", "object_id", "name", "created_at", "created_by"]
        read_only_fields = fields

    def get_role(self, granted: Grant) -> str:
        return Role(granted.role).name.lower()

    def get_name(self, granted: Grant) -> str:
        names = self.context.get("names")
        return (names_of([granted]) if names is None else names)[granted.pk]


class NewGrantSerializer(serializers.Serializer[Grant]):
    """For a user or a group; on everything, on a `tag`, or on the host or domain `object_id`."""

    user = serializers.PrimaryKeyRelatedField(queryset=User.objects.all(), required=False)
    group = serializers.PrimaryKeyRelatedField(queryset=Group.objects.all(), required=False)
    role = serializers.ChoiceField(choices=list(ROLES))
    target = serializers.ChoiceField(choices=Target.choices)
    tag = serializers.CharField(max_length=LONGEST_TAG, default="", allow_blank=True)
    object_id = serializers.IntegerField(min_value=0, default=0, validators=[MaxValueValidator(MOST)])

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        whom = [attrs[name] for name in ("user", "group") if name in attrs]
        if len(whom) != 1:
            raise serializers.ValidationError(_("Give a user or a group."))
        place = Place(Target(attrs["target"]), attrs["tag"], attrs["object_id"])
        named = (bool(place.tag), bool(place.object_id))
        if named != (place.target == Target.TAG, place.target in (Target.HOST, Target.DOMAIN)):
            needs = _("A tag needs `tag`, a host or a domain `object_id`, and no other.")
            raise serializers.ValidationError(needs)
        return {"whom": whom[0], "role": ROLES[attrs["role"]], "place": place}


class QuestionSerializer(serializers.Serializer[Any]):
    user = serializers.IntegerField(min_value=1, max_value=MOST)
    verb = serializers.CharField(max_length=40)
    target = serializers.ChoiceField(
        choices=[Target.EVERYTHING, Target.HOST, Target.DOMAIN], default=Target.EVERYTHING
    )
    id = serializers.IntegerField(min_value=0, max_value=MOST, default=0)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        verbs = explained_verbs(attrs["target"])
        if attrs["verb"] not in verbs:
            raise serializers.ValidationError({"verb": _("One of: %(words)s.") % {"words": ", ".join(verbs)}})
        return attrs


class CoveringSerializer(serializers.Serializer[Line]):
    """A grant that covers the object."""

    id = serializers.IntegerField(source="grant.pk")
    group = serializers.CharField(source="grant.group.name", default=None, help_text="Null: his own.")
    role = serializers.SerializerMethodField()
    target = serializers.CharField(source="grant.target")
    name = serializers.CharField()
    enough = serializers.BooleanField()

    def get_role(self, line: Line) -> str:
        return Role(line.grant.role).name.lower()


class ExplanationSerializer(serializers.Serializer[Explanation]):
    """`needs` is the role that it takes. `grants` are those that cover the object, the highest role first."""

    allowed = serializers.BooleanField()
    reason = serializers.ChoiceField(choices=Reason.choices)
    detail = serializers.CharField(source="reason.label")
    needs = serializers.SerializerMethodField()
    grants = CoveringSerializer(source="lines", many=True)

    def get_needs(self, explanation: Explanation) -> str:
        return explanation.needs.name.lower()


class QuotaSerializer(serializers.ModelSerializer[Quota]):
    """The limits that were set; null is none. `memory` and `disk` are bytes."""

    class Meta:
        model = Quota
        fields = Resource.values
        # None may be left out: a name that was misspelt would lift a limit.
        extra_kwargs: ClassVar = {name: {"required": True} for name in fields}


class RoomSerializer(serializers.Serializer[Room]):
    """`limit` is null when nothing limits, `used` when it is not known, and `left` of either."""

    limit = serializers.IntegerField(allow_null=True)
    group = serializers.CharField(
        source="group.name",
        default=None,
        allow_null=True,
        help_text="Whose limit it is; null: the user's own.",
    )
    used = serializers.IntegerField(allow_null=True)
    left = serializers.IntegerField(allow_null=True)


class RoomsSerializer(serializers.Serializer[dict[Resource, Room]]):
    """By the strictest limit of the user's own and those of his groups. `memory` and `disk` are bytes."""

    domains = RoomSerializer()
    vcpus = RoomSerializer()
    memory = RoomSerializer()
    disk = RoomSerializer()


class UserQuotaSerializer(QuotaSerializer):
    """With `room`: what he may still create, by this and by the quotas of his groups."""

    room = RoomsSerializer(read_only=True)

    class Meta(QuotaSerializer.Meta):
        fields = [*QuotaSerializer.Meta.fields, "room"]
