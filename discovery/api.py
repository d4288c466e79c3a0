"""`/api/ranges/`, `/api/crawls/` and `/api/addresses/`."""

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from access.permissions import IsAdministrator

from . import services
from .filters import AddressFilter, CrawlFilter, RangeFilter
from .models import Address, Crawl, Range
from .serializers import AddressSerializer, CrawlSerializer, NewCrawlSerializer, RangeSerializer


class RangeViewSet(viewsets.ModelViewSet[Range]):
    """The networks that are looked at. Nothing outside an enabled range is ever probed or dialled."""

    permission_classes = [IsAdministrator]
    queryset = Range.objects.all()
    serializer_class = RangeSerializer
    filterset_class = RangeFilter
    ordering_fields = ["cidr", "label", "created_at"]

    @extend_schema(request=NewCrawlSerializer, responses={202: CrawlSerializer})
    @action(detail=True, methods=["post"])
    def crawl(self, request: Request, pk: str) -> Response:
        """Ask for a crawl of one phase. While that phase runs here the answer is 409, with its `crawl`."""
        range_ = self.get_object()
        asked = NewCrawlSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        crawl = services.start_by_hand(range_, asked.validated_data["phase"])
        return Response(CrawlSerializer(crawl).data, status=202)


class CrawlViewSet(viewsets.ReadOnlyModelViewSet[Crawl]):
    """The crawls that run, and those that ran."""

    permission_classes = [IsAdministrator]
    queryset = Crawl.objects.all()
    serializer_class = CrawlSerializer
    filterset_class = CrawlFilter
    ordering_fields = ["id", "state", "phase", "created_at", "started_at", "finished_at"]

    @extend_schema(request=None, responses=CrawlSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """End the crawl. What it found is kept."""
        services.cancel_by_hand(self.get_object())
        return Response(self.get_serializer(self.get_object()).data)


class AddressViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Address]):
    """The addresses that answered. Silent ones are not listed."""

    permission_classes = [IsAdministrator]
    queryset = Address.objects.all()
    serializer_class = AddressSerializer
    filterset_class = AddressFilter
    ordering_fields = ["packed", "kind", "first_seen", "last_seen"]
