"""`/api/hosts/` and `/api/join-keys/`."""

from collections.abc import Callable
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from access.permissions import IsAdministrator, caller

from . import services
from .filters import HostFilter, JoinKeyFilter
from .models import Host, HostQuerySet, JoinKey
from .serializers import (
    CreatedJoinKeySerializer,
    HostSerializer,
    JoinKeySerializer,
    NewHostSerializer,
    NewJoinKeySerializer,
)


class HostViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet[Host]
):
    """Hypervisors with a proven identity. Reading never waits for one; adding and probing do, a while."""

    permission_classes = [IsAdministrator]
    queryset = Host.objects.all()
    serializer_class = HostSerializer
    filterset_class = HostFilter
    ordering_fields = ["hostname", "address", "trust", "status", "last_seen", "first_seen", "cpus", "memory"]

    def get_queryset(self) -> HostQuerySet:
        return Host.objects.with_status().prefetch_related("addresses")

    @extend_schema(request=NewHostSerializer, responses={201: HostSerializer})
    def create(self, request: Request) -> Response:
        """Add the daemon at an address of an enabled range, without waiting for a crawl."""
        asked = NewHostSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        host = services.add_by_hand(**asked.validated_data, actor=caller(request))
        return Response(self.get_serializer(self.get_queryset().get(pk=host.pk)).data, status=201)

    def perform_destroy(self, instance: Host) -> None:
        """Forget a host that is not owned. Nothing on the hypervisor changes."""
        services.forget(instance, actor=caller(self.request))

    def _after(self, verb: Callable[..., Any], **how: Any) -> Response:
        verb(self.get_object(), **how)
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=None, responses=HostSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Own a pending host, or one that was denied or retired."""
        return self._after(services.approve, actor=caller(request))

    @extend_schema(request=None, responses=HostSerializer)
    @action(detail=True, methods=["post"])
    def deny(self, request: Request, pk: str) -> Response:
        """Refuse a host that is not owned. It is not spoken to until it is approved."""
        return self._after(services.deny, actor=caller(request))

    @extend_schema(request=None, responses=HostSerializer)
    @action(detail=True, methods=["post"])
    def retire(self, request: Request, pk: str) -> Response:
        """Give an owned host up. Its certificate is not accepted again."""
        return self._after(services.retire, actor=caller(request))

    @extend_schema(request=None, responses=HostSerializer)
    @action(detail=True, methods=["post"])
    def probe(self, request: Request, pk: str) -> Response:
        """Look now whether the daemon is there and well, and answer what was found."""
        return self._after(services.probe)


class JoinKeyViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[JoinKey],
):
    """The keys by which new hosts join. The secret is in the answer that creates a key, and nowhere else."""

    permission_classes = [IsAdministrator]
    queryset = JoinKey.objects.all()
    serializer_class = JoinKeySerializer
    filterset_class = JoinKeyFilter
    ordering_fields = ["label", "created_at", "expires_at", "uses"]

    @extend_schema(request=NewJoinKeySerializer, responses={201: CreatedJoinKeySerializer})
    def create(self, request: Request) -> Response:
        asked = NewJoinKeySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        key, join = services.create_join_key(**asked.validated_data, actor=caller(request))
        return Response({**self.get_serializer(key).data, "join": join}, status=201)

    def perform_destroy(self, instance: JoinKey) -> None:
        """Revoke the key. It stays listed, as revoked; hosts that joined by it stay owned."""
        services.revoke_join_key(instance, actor=caller(self.request))
