from datetime import timedelta

from rest_framework import serializers

from .choices import Scope
from .models import ApiToken
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
