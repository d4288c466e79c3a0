"""`/api/audit/`: who did what."""

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request

from ..exporting import JSON_LINES, streamed
from ..filters import AuditFilter
from ..models import AuditEntry
from ..permissions import IsAdministrator
from ..serializers import AuditEntrySerializer


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
