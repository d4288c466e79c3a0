"""`/metrics` for Prometheus, computed when it is asked for: every process of the server answers alike."""

from collections.abc import Iterable, Iterator

from django.db.models import Max
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    GCCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from access.permissions import IsAdministrator
from discovery.choices import CrawlState
from discovery.models import Crawl

from .summary import summary


class FleetCollector(Collector):
    """The fleet's numbers, in a fixed number of queries."""

    def collect(self) -> Iterator[Metric]:
        numbers = summary()
        yield self._by_word("virshmanager_hosts", "Hosts by trust.", "trust", numbers["hosts"]["trust"])
        yield self._by_word(
            "virshmanager_owned_hosts", "Owned hosts by status.", "status", numbers["hosts"]["status"]
        )
        yield self._by_word("virshmanager_domains", "Domains by state.", "state", numbers["domains"]["state"])
        yield self._by_word(
            "virshmanager_addresses", "Known addresses by kind.", "kind", numbers["addresses"]
        )
        yield GaugeMetricFamily(
            "virshmanager_active_crawls", "Crawls queued or running.", value=numbers["active_crawls"]
        )
        yield self._crawl_ages()

    @staticmethod
    def _by_word(name: str, text: str, label: str, numbers: dict[str, int]) -> Metric:
        family = GaugeMetricFamily(name, text, labels=[label])
        for word, number in numbers.items():
            family.add_metric([word], number)
        return family

    @staticmethod
    def _crawl_ages() -> Metric:
        family = GaugeMetricFamily(
            "virshmanager_last_crawl_age_seconds",
            "Seconds since the last crawl that succeeded.",
            labels=["range", "phase"],
        )
        now = timezone.now()
        crawls = Crawl.objects.filter(state=CrawlState.SUCCEEDED, finished_at__isnull=False).order_by()
        for cidr, phase, at in crawls.values_list("range__cidr", "phase").annotate(at=Max("finished_at")):
            family.add_metric([cidr, phase], (now - at).total_seconds())
        return family


registry = CollectorRegistry()
ProcessCollector(registry=registry)
GCCollector(registry=registry)
registry.register(FleetCollector())


class TextAlways(DefaultContentNegotiation):
    """Prometheus asks for formats of its own: it gets the plain one, whatever it names first."""

    def select_renderer(
        self,
        request: Request,  # noqa: ARG002 -- DRF's signature
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,  # noqa: ARG002 -- as above
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, first.media_type or ""


class MetricsView(APIView):
    permission_classes: list[type[BasePermission]] = [IsAdministrator]
    content_negotiation_class = TextAlways
    renderer_classes = [JSONRenderer]  # of refusals

    @extend_schema(exclude=True, responses={(200, "text/plain"): OpenApiTypes.STR})
    def get(self, request: Request) -> HttpResponse:  # noqa: ARG002 -- DRF's signature
        return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


metrics = MetricsView.as_view()
