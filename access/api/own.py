"""`/api/tokens/`: the caller's own tokens; and `/api/audit/`."""

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from .. import services
from ..authentication import demand_of_login
from ..exporting import JSON_LINES, streamed
from ..filters import AuditFilter, TokenFilter
from ..models import ApiToken, ApiTokenQuerySet, AuditEntry
from ..permissions import HasGrants, IsAdministrator, caller
from ..serializers import AuditEntrySerializer, CreatedTokenSerializer, NewTokenSerializer, TokenSerializer


class TokenViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[ApiToken],
):
    """Your own API tokens. A token's text is in the answer that creates it, and nowhere else."""

    permission_classes = [HasGrants]
    serializer_class = TokenSerializer
    queryset = ApiToken.objects.none()
    filterset_class = TokenFilter
    ordering_fields = ["name", "created", "expiry", "last_used_at"]

    def get_queryset(self) -> ApiTokenQuerySet:
        tokens: ApiTokenQuerySet = ApiToken.objects.filter(user_id=self.request.user.pk)
        return tokens

    @extend_schema(request=NewTokenSerializer, responses={201: CreatedTokenSerializer})
    def create(self, request: Request) -> Response:
        demand_of_login(request, "create_token")
        asked = NewTokenSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        token, text = services.create_token(user=caller(request), **asked.validated_data)
        return Response({**TokenSerializer(token).data, "token": text}, status=201)


class AuditViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[AuditEntry]):
    """Who did what to what, by what, from where, when, and how it went. Nothing in it changes."""

    permission_classes = [IsAdministrator]
    queryset = AuditEntry.objects.all()
    serializer_class = AuditEntrySerializer
    filterset_class = AuditFilter
    ordering_fields = ["at", "sequence"]

    @extend_schema(responses={(200, JSON_LINES): OpenApiTypes.STR})
    @action(detail=False, pagination_class=None)
    def export(self, request: Request) -> StreamingHttpResponse:
        """The rows that are chained, in their order, as JSON Lines: one a line, as the list shows them."""
        return streamed(request, self.filter_queryset(self.get_queryset()))
