from datetime import timedelta

from rest_framework import serializers

from .choices import Scope
from .models import ApiToken, AuditEntry
from .services import TOKEN_LIFE

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
