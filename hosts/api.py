"""`/api/hosts/`, `/api/join-keys/` and `/api/operations/`, and how routes answer an operation."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypedDict

from django.contrib.auth.models import User
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotAuthenticated
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from access.authentication import demand_of_login
from access.logins import login_of_request
from access.permissions import ByGrant, IsAdministrator, caller

from . import services
from .filters import HostFilter, JoinKeyFilter, OperationFilter
from .models import Host, HostQuerySet, JoinKey, Operation, OperationQuerySet
from .serializers import (
    AdoptSerializer,
    ApproveSerializer,
    ConnectionSerializer,
    CreatedJoinKeySerializer,
    HostSerializer,
    HostTrustSerializer,
    JoinKeySerializer,
    NewHostSerializer,
    NewJoinKeySerializer,
    OperationDetailSerializer,
    OperationSerializer,
    VerdictSerializer,
)

# One for all: to make its fields takes nine times as long as to show an operation by them.
_SHOWN: Final = OperationDetailSerializer()
LONGEST_WAIT_SECONDS: Final = 30
# RFC 7240, section 4.3: `wait=10`, alone or among other preferences.
# Nine digits of a number tell that it is too long.
WAIT: Final = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})\d*"?\s*(?=[,;]|$)', re.IGNORECASE)
KEY_HEADER = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER, description="The same key: the same operation."
)
WAIT_HEADER = OpenApiParameter(
    "Prefer", str, OpenApiParameter.HEADER, description="`wait=10`: answer when it has ended, within 10 s."
)
ANSWERS: Final = {
    200: OperationDetailSerializer,
    202: OperationDetailSerializer,
}


def wait_of(request: Request) -> int:
    """How many seconds the caller prefers to wait for the end of an operation; 0: not at all."""
    asked = WAIT.search(request.headers.get("Prefer", ""))
    return min(int(asked[1]), LONGEST_WAIT_SECONDS) if asked else 0


def key_of(request: Request) -> str:
    key: str = request.headers.get("Idempotency-Key", "")
    return key


class Asked(TypedDict):
    """Who asks for an operation, by which key, and whether the request itself will carry it."""

    actor: User
    key: str
    here: bool


def asked_by(request: Request) -> Asked:
    return Asked(actor=caller(request), key=key_of(request), here=wait_of(request) > 0)


def answered(request: Request, operation: Operation) -> Response:
    """Answer an operation that was accepted: 202 while it is open, 200 when it has ended."""
    wait = wait_of(request)
    headers = {"Location": reverse("operation-detail", args=[operation.pk])}
    if wait:
        operation = services.wait_for(operation, wait, partial(_demand_still_seen, request))
        headers["Preference-Applied"] = f"wait={wait}"
    return Response(
        _SHOWN.to_representation(operation), status=202 if operation.is_open else 200, headers=headers
    )


def _demand_still_seen(request: Request, operation: Operation) -> None:
    """Refuse him whose login or grants end while he waits, as if he came only now."""
    user = login_of_request(request).user()
    if user is None:
        raise NotAuthenticated
    get_object_or_404(Operation.objects.visible_to(user), pk=operation.pk)


class HostViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet[Host]
):
    """Hypervisors with a proven identity. Reading never waits for one; adding and probing do, a while."""

    permission_classes = [ByGrant]
    verbs = {"destroy": "forget"}
    queryset = Host.objects.none()
    serializer_class = HostSerializer
    filterset_class = HostFilter
    ordering_fields = ["hostname", "address", "trust", "status", "last_seen", "first_seen", "cpus", "memory"]

    def get_queryset(self) -> HostQuerySet:
        seen = Host.objects.visible_to(caller(self.request))
        return seen.with_status().prefetch_related("addresses")

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

    @extend_schema(request=AdoptSerializer, responses=HostSerializer)
    @action(detail=True, methods=["post"])
    def adopt(self, request: Request, pk: str) -> Response:
        """Own a host that is not owned, by the code that `virshmanagerd code` prints on it."""
        host = self.get_object()
        asked = AdoptSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        services.adopt(host, **asked.validated_data, actor=caller(request))
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=None, responses=HostSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Own a pending host, or one that was denied or retired."""
        return self._after(services.approve, actor=caller(request))

    @extend_schema(
        operation_id="hosts_approve_many", request=ApproveSerializer, responses=VerdictSerializer(many=True)
    )
    @action(
        detail=False,
        methods=["post"],
        url_path="approve",
        url_name="approve-many",
        filterset_class=None,
        pagination_class=None,
    )
    def approve_many(self, request: Request) -> Response:
        """Approve many hosts. Each has a verdict of its own: one that is refused hinders no other."""
        asked = ApproveSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        verdicts = services.approve_many(**asked.validated_data, actor=caller(request))
        return Response(VerdictSerializer(verdicts, many=True).data)

    @extend_schema(request=None, responses=HostSerializer)
    @action(detail=True, methods=["post"])
    def deny(self, request: Request, pk: str) -> Response:
        """Refuse a host that is not owned. It is not spoken to until it is approved."""
        return self._after(services.deny, actor=caller(request))

    @extend_schema(request=None, responses=HostSerializer)
    @action(detail=True, methods=["post"])
    def retire(self, request: Request, pk: str) -> Response:
        """Give an owned host up. Its certificate is not accepted again."""
        demand_of_login(request, "retire")
        return self._after(services.retire, actor=caller(request))

    @extend_schema(request=None, responses=HostSerializer)
    @action(detail=True, methods=["post"])
    def probe(self, request: Request, pk: str) -> Response:
        """Look now whether the daemon is there and well, and answer what was found."""
        return self._after(services.probe)

    @extend_schema(request=None, responses=HostTrustSerializer)
    @action(detail=True)
    def trust(self, request: Request, pk: str) -> Response:
        """Why this host is believed: its key, its certificates, who let it in, and where it proved itself."""
        return Response(HostTrustSerializer(self.get_object()).data)

    @extend_schema(request=None, responses=ConnectionSerializer)
    @action(detail=True, methods=["post"], url_path="test-connection", url_name="test-connection")
    def test_connection(self, request: Request, pk: str) -> Response:
        """Try the way to this host, and name the hop that fails. Nothing is stored."""
        return Response(ConnectionSerializer(services.try_connection(self.get_object())).data)


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


class OperationViewSet(viewsets.ReadOnlyModelViewSet[Operation]):
    """The changes that were asked for: who, what, when, and what became of it. None is ever deleted."""

    permission_classes = [ByGrant]
    verbs = {"cancel": "cancel_operation"}
    # Who may cancel is asked of all that it is about.
    judged = frozenset({"cancel"})
    queryset = Operation.objects.none()
    filterset_class = OperationFilter
    ordering_fields = [
        *("created_at", "started_at", "finished_at", "deadline", "state", "verb"),
        *("target_name", "host_name", "actor_name", "position"),
    ]

    def get_queryset(self) -> OperationQuerySet:
        rows = Operation.objects.visible_to(caller(self.request))
        return rows if self.action == "list" else rows.select_related("host")

    def get_serializer_class(self) -> type[OperationSerializer]:
        return OperationSerializer if self.action == "list" else OperationDetailSerializer

    @extend_schema(request=None, parameters=[WAIT_HEADER], responses=ANSWERS)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Cancel it: at once before it was sent, else its host is asked to. 409 when that is too late."""
        return answered(request, services.cancel(self.get_object(), actor=caller(request)))
