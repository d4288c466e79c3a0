from datetime import timedelta

from rest_framework import serializers

from .models import ApiToken

TEN_YEARS = 10 * 365 * 86400


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    """A token without its text, which nobody can read again."""

    created_at = serializers.DateTimeField(source="created", read_only=True)
    expires_at = serializers.DateTimeField(source="expiry", read_only=True, allow_null=True)

    class Meta:
        model = ApiToken
        fields = ["id", "name", "created_at", "expires_at", "last_used_at"]
        read_only_fields = ["id", "last_used_at"]


class NewTokenSerializer(serializers.Serializer[ApiToken]):
    name = serializers.CharField(max_length=100)
    expires_in = serializers.IntegerField(
        min_value=60,
        max_value=TEN_YEARS,
        required=False,
        allow_null=True,
        default=None,
        help_text="Seconds from now; without it the token does not expire.",
    )

    def validate_expires_in(self, value: int | None) -> timedelta | None:
        return None if value is None else timedelta(seconds=value)


class CreatedTokenSerializer(TokenSerializer):
    """A new token with its text: this once."""

    token = serializers.CharField(read_only=True)

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]
