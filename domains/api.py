"""`/api/domains/`: the mirror, read-only."""

from typing import Literal, cast

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from access.permissions import IsAdministrator

from . import services
from .filters import DomainFilter
from .metrics import MetricsMixin
from .models import Domain, DomainQuerySet
from .serializers import DomainDetailSerializer, DomainSerializer

WHICH = ("live", "inactive")


class DomainViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, MetricsMixin, viewsets.GenericViewSet[Domain]
):
    """The virtual machines of all hosts, as last reported. Only `xml` and `screenshot` wait for the host."""

    permission_classes = [IsAdministrator]
    queryset = Domain.objects.all()
    filterset_class = DomainFilter
    ordering_fields = ["name", "state", "vcpus", "memory", "host__hostname", "first_seen", "autostart"]

    def get_queryset(self) -> DomainQuerySet:
        return Domain.objects.with_stale().select_related("host")

    def get_serializer_class(self) -> type[BaseSerializer[Domain]]:
        return DomainSerializer if self.action == "list" else DomainDetailSerializer

    def retrieve(self, request: Request, *args: object, **kwargs: object) -> Response:
        """The domain with its devices. Asking has them looked at again, for the next time."""
        domain = self.get_object()
        services.wish_details(domain)
        return Response(self.get_serializer(domain).data)

    @extend_schema(
        parameters=[OpenApiParameter("which", str, enum=WHICH)],
        responses={(200, "application/xml"): OpenApiTypes.STR},
    )
    @action(detail=True)
    def xml(self, request: Request, pk: str) -> HttpResponse:
        """libvirt's XML. Without `which`: the live one of an active domain, else the stored."""
        which = request.query_params.get("which")
        if which not in (None, *WHICH):
            raise ValidationError({"which": [_("One of: %(words)s.") % {"words": ", ".join(WHICH)}]})
        text = services.xml(self.get_object(), cast("Literal['live', 'inactive'] | None", which))
        return HttpResponse(text, content_type="application/xml; charset=utf-8")

    @extend_schema(responses={(200, "image/png"): OpenApiTypes.BINARY})
    @action(detail=True)
    def screenshot(self, request: Request, pk: str) -> HttpResponse:
        """The screen of a running domain, as PNG."""
        image = services.screenshot(self.get_object())
        return HttpResponse(image, content_type="image/png", headers={"Cache-Control": "no-store"})
