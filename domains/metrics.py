"""`/api/domains/{id}/metrics/` and `/api/hosts/{id}/metrics/`: what was measured. Never waits for a host."""

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from django.shortcuts import get_object_or_404
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from access.permissions import HasGrants, caller
from hosts.models import Host

from . import services
from .choices import SERIES, Kind
from .models import Domain

HOUR: Final = 3600
LONGEST_STEP: Final = 24 * HOUR
LONGEST_NUMBER: Final = 20
# From 1970 to the year 5138.
LATEST: Final = 10**11
DIGITS: Final = 2

PARAMETERS = [
    OpenApiParameter("from", str, description="RFC 3339 or unix seconds; default: an hour before `to`."),
    OpenApiParameter("to", str, description="RFC 3339 or unix seconds; default: now."),
    OpenApiParameter("step", int, description="Seconds between points; default: what fits."),
]


def window_of(query: Mapping[str, Any]) -> services.Window:
    """Read what is asked for. Raises ValidationError."""
    now = time.time()
    until = _time("to", query["to"]) if "to" in query else now
    since = _time("from", query["from"]) if "from" in query else until - HOUR
    if since >= until:
        raise ValidationError({"from": [_("It must be before “to”.")]})
    step = _step(query["step"]) if "step" in query else None
    if step and (until - since) / step > services.MAX_POINTS:
        raise ValidationError(
            {"step": [_("That would be more than %(most)s points.") % {"most": services.MAX_POINTS}]}
        )
    return services.Window(since, until, step)


def _time(field: str, text: str) -> float:
    seconds = _unix(text) if len(text) <= LONGEST_NUMBER else None
    if seconds is None:
        seconds = _rfc3339(text)
    if seconds is None or not 0 <= seconds < LATEST:
        raise ValidationError({field: [_("Neither a time (RFC 3339) nor unix seconds.")]})
    return seconds


def _unix(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None


def _rfc3339(text: str) -> float | None:
    try:
        moment = parse_datetime(text)
        return moment.timestamp() if moment and moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _step(text: str) -> int:
    if len(text) > LONGEST_NUMBER or not (text.isascii() and text.isdecimal()):
        raise ValidationError({"step": [_("No whole number of seconds.")]})
    if not 1 <= int(text) <= LONGEST_STEP:
        raise ValidationError({"step": [_("From 1 to %(most)s seconds.") % {"most": LONGEST_STEP}]})
    return int(text)


def answer(kind: Kind, pk: int, host_id: int, request: Request) -> Response:
    """`{from, to, step, series: {name: [[unix seconds, number or null], ...]}, units: {name: unit}}`."""
    window = window_of(request.query_params)
    line = services.measured(kind, pk, host_id, window)
    names = services.series_of(kind)
    series = {
        name: [[point.at, _number(point.values[place])] for point in line.points]
        for place, name in enumerate(names)
    }
    return Response(
        {
            "from": _text(window.since),
            "to": _text(window.until),
            "step": line.step,
            "series": series,
            "units": {name: SERIES[kind].get(name, "%") for name in names},
        }
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, DIGITS)


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class MetricsMixin(GenericViewSet[Domain]):
    @extend_schema(parameters=PARAMETERS, responses=OpenApiTypes.OBJECT, filters=False)
    @action(detail=True, filter_backends=[], pagination_class=None)
    def metrics(self, request: Request, pk: str) -> Response:  # noqa: ARG002 -- DRF's signature
        """What was measured of the domain. CPU is per cent of all its vCPUs; `null` is a gap."""
        domain = self.get_object()
        return answer(Kind.DOMAIN, domain.pk, domain.host_id, request)


class HostMetricsView(APIView):
    permission_classes = [HasGrants]

    @extend_schema(parameters=PARAMETERS, responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, pk: int) -> Response:
        """What was measured of the host. CPU is per cent of all its CPUs; `null` is a gap."""
        host = get_object_or_404(Host.objects.visible_to(caller(request)), pk=pk)
        return answer(Kind.HOST, host.pk, host.pk, request)
