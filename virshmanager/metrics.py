"""`/metrics` for Prometheus, computed when it is asked for: every process of the server answers alike."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import chain

from django.core.handlers.asgi import ASGIRequest
from django.db.models import Count, Max, Min, Q
from django.http import StreamingHttpResponse
from django.utils import timezone
from django_redis import get_redis_connection
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    GCCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from access.permissions import IsAdministrator
from discovery.choices import CrawlState
from discovery.models import Crawl
from domains.models import Domain
from domains.watcher import HEARD_KEY
from hosts import trust
from hosts.choices import FOLLOWED_FOR, OperationState, Status
from hosts.live import NEWS_KEY
from hosts.models import Host, Operation

from . import exposition
from .summary import summary


class FleetCollector(Collector):
    """The fleet's numbers, in a fixed number of queries."""

    def collect(self) -> Iterator[Metric]:
        numbers = summary(Host.objects.all(), Domain.objects.all())
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
        states = Operation.objects.order_by().values_list("state").annotate(n=Count("pk"))
        numbers_by_state = dict.fromkeys(OperationState.values, 0) | dict(states)
        yield self._by_word("virshmanager_operations", "Operations by state.", "state", numbers_by_state)
        yield from self._followed()
        yield GaugeMetricFamily(
            "virshmanager_signer_up",
            "Whether certificates can be signed now.",
            value=int(trust.signer_answers()),
        )

    @staticmethod
    def _followed() -> Iterator[Metric]:
        now = timezone.now()
        numbers = (
            Host.objects.owned()
            .with_status(now)
            .aggregate(
                watched=Count("pk", filter=Q(watched_at__gt=now - FOLLOWED_FOR)),
                oldest=Min("listed_at", filter=Q(status=Status.ONLINE)),
                first_expiry=Min("certificate_expires_at"),
            )
        )
        yield GaugeMetricFamily(
            "virshmanager_watched_hosts", "Hosts whose events are followed.", value=numbers["watched"]
        )
        age = GaugeMetricFamily(
            "virshmanager_oldest_listing_age_seconds",
            "Seconds since the domains of that online host were listed for which it is the longest.",
        )
        if numbers["oldest"]:
            age.add_metric([], (now - numbers["oldest"]).total_seconds())
        yield age
        expiry = GaugeMetricFamily(
            "virshmanager_first_certificate_expiry_timestamp_seconds",
            "When the certificate of an owned host ends that ends first.",
        )
        if numbers["first_expiry"]:
            expiry.add_metric([], numbers["first_expiry"].timestamp())
        yield expiry

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


class RedisCollector(Collector):
    """Redis, in one round trip; without it, that it is not there."""

    def collect(self) -> Iterator[Metric]:
        up, events, memory, heard = 0, 0, None, {}
        try:
            with get_redis_connection().pipeline(transaction=False) as pipeline:
                pipeline.get(NEWS_KEY)
                pipeline.info("memory")
                pipeline.hgetall(HEARD_KEY)
                news, told, heard = pipeline.execute()
            up, events, memory = 1, int(news or 0), told["used_memory"]
        except (RedisError, OSError):
            pass  # that is the answer
        yield GaugeMetricFamily("virshmanager_redis_up", "Whether Redis answers.", value=up)
        if memory is not None:
            yield GaugeMetricFamily(
                "virshmanager_redis_memory_bytes", "Memory of Redis, most of it the rings.", value=memory
            )
            yield CounterMetricFamily(
                "virshmanager_live_events", "Live events told to browsers.", value=events
            )
            yield self._by_kind(heard)

    @staticmethod
    def _by_kind(heard: dict[bytes, bytes]) -> Metric:
        family = CounterMetricFamily(
            "virshmanager_events", "Events and statistics that hosts told watchers.", labels=["kind"]
        )
        for kind, times in heard.items():
            family.add_metric([kind.decode()], int(times))
        return family


registry = CollectorRegistry()
ProcessCollector(registry=registry)
GCCollector(registry=registry)
registry.register(FleetCollector())
registry.register(RedisCollector())


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
    def get(self, request: Request) -> StreamingHttpResponse:
        # What fails fails here, where it can be answered: while the text is written nothing is read.
        pieces = chain([generate_latest(registry)], exposition.write(exposition.read_fleet()))
        in_async_server = isinstance(request._request, ASGIRequest)
        return StreamingHttpResponse(
            _without_blocking(pieces) if in_async_server else pieces, content_type=CONTENT_TYPE_LATEST
        )


async def _without_blocking(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Write each piece in a thread: others are answered meanwhile."""
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece


metrics = MetricsView.as_view()
