"""`/api/domains/`: the mirror, and the verbs. What changes a domain is accepted as an operation."""

from collections.abc import Callable
from typing import Any, ClassVar, Final, Literal, cast

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from access.authentication import demand_of_login
from access.logins import login_of_request
from access.permissions import ByGrant, HasGrants, caller, demand, rights_of
from hosts.api import ANSWERS, KEY_HEADER, WAIT_HEADER, answered, asked_by, key_of
from hosts.choices import TargetType
from hosts.errors import KeyReused
from hosts.models import Host, Operation

from . import services
from .filters import DomainFilter
from .metrics import MetricsMixin
from .models import Domain, DomainQuerySet
from .serializers import (
    READ_FOR_LISTS,
    AutostartSerializer,
    BulkPlanSerializer,
    BulkSerializer,
    ConsoleTicketSerializer,
    ConsoleWishSerializer,
    DefinitionSerializer,
    DomainDetailSerializer,
    DomainSerializer,
    MetadataSerializer,
)
from .verbs import VERBS

WHICH = ("live", "inactive")
# How the schema describes a route that answers an operation.
CHANGES: Final[dict[str, Any]] = {"parameters": [KEY_HEADER, WAIT_HEADER], "responses": ANSWERS}

Method = Callable[..., Response]


def _arguments(request: Request, serializer: type[BaseSerializer[Any]] | None) -> dict[str, Any] | None:
    if serializer is None:
        return None
    asked = serializer(data=request.data)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


def verb(method: Method) -> Method:
    """A route of the verb that the method is named after, which needs nothing more to be said."""
    routed = action(detail=True, methods=["post"])(method)
    # `action` forgets what was said before it.
    described: Method = extend_schema(request=None, **CHANGES)(routed)
    return described


class VerbsMixin(viewsets.GenericViewSet[Domain]):
    """What can be done with a domain. Answers at once, unless the caller prefers to wait."""

    # The keys of these are kept in the database, with the operations.
    own_keys: ClassVar[frozenset[str]] = frozenset({*VERBS, "force_off", "partial_update", "bulk"}) - {
        "destroy"
    }

    def _act(
        self, request: Request, name: str, arguments: type[BaseSerializer[Any]] | None = None
    ) -> Response:
        """Do it: who may not is told that before anything is said about the arguments."""
        try:
            target = self._target()
        except Http404:
            return answered(request, self._done_before(request, name, arguments))
        demand_of_login(request, name)
        args = _arguments(request, arguments)
        return answered(request, services.act(target, name, args=args, **asked_by(request)))

    def _done_before(
        self, request: Request, name: str, arguments: type[BaseSerializer[Any]] | None
    ) -> Operation:
        """What the same key was used for before the domain was gone, most likely by that. Raises Http404."""
        caused = {"verb": name, "target_type": TargetType.DOMAIN, "target_id": self.kwargs["pk"]}
        keyed = Operation.objects.visible_to(caller(request)).filter(
            actor=caller(request), idempotency_key=key_of(request)
        )
        first = get_object_or_404(keyed, **caused)
        asked = services.fingerprint_of(name, [first.target_id, _arguments(request, arguments) or {}])
        if first.fingerprint != asked:
            raise KeyReused
        return first

    def _target(self) -> Domain:
        """The domain of the address: no filter chooses among one, and what only lists show takes 4 ms."""
        seen = Domain.objects.visible_to(caller(self.request)).select_related("host")
        domain: Domain = get_object_or_404(seen, pk=self.kwargs["pk"])
        self.check_object_permissions(self.request, domain)
        return domain

    @verb
    def start(self, request: Request, pk: str) -> Response:
        """Start a domain that is off."""
        return self._act(request, "start")

    @verb
    def shutdown(self, request: Request, pk: str) -> Response:
        """Ask the guest to shut down. Succeeds when the domain is off, fails when the guest does not stop."""
        return self._act(request, "shutdown")

    @verb
    def reboot(self, request: Request, pk: str) -> Response:
        """Ask the guest to reboot."""
        return self._act(request, "reboot")

    @verb
    def reset(self, request: Request, pk: str) -> Response:
        """Reset the guest at once, as by a button."""
        return self._act(request, "reset")

    @extend_schema(request=None, **CHANGES)
    @action(detail=True, methods=["post"], url_path="destroy")
    def force_off(self, request: Request, pk: str) -> Response:
        """Force the domain off at once. (`destroy` itself is what DELETE does.)"""
        return self._act(request, "destroy")

    @verb
    def suspend(self, request: Request, pk: str) -> Response:
        """Pause the domain; it stays in memory."""
        return self._act(request, "suspend")

    @verb
    def resume(self, request: Request, pk: str) -> Response:
        """Let a paused domain go on."""
        return self._act(request, "resume")

    @verb
    def save(self, request: Request, pk: str) -> Response:
        """Save the domain's memory to its host's disk, and stop it."""
        return self._act(request, "save")

    @verb
    def restore(self, request: Request, pk: str) -> Response:
        """Let a saved domain go on."""
        return self._act(request, "restore")

    @verb
    def undefine(self, request: Request, pk: str) -> Response:
        """Delete the domain's definition and its saved state. Its disks stay."""
        return self._act(request, "undefine")

    @extend_schema(request=AutostartSerializer, **CHANGES)
    @action(detail=True, methods=["post"])
    def autostart(self, request: Request, pk: str) -> Response:
        """Say whether the domain starts with its host."""
        return self._act(request, "autostart", AutostartSerializer)

    @extend_schema(request=MetadataSerializer, **CHANGES)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change title, description or tags, in libvirt's own metadata. What is left out stays."""
        return self._act(request, "metadata", MetadataSerializer)

    @extend_schema(request=BulkSerializer, **CHANGES | {"responses": {**ANSWERS, 200: BulkPlanSerializer}})
    @action(detail=False, methods=["post"], filterset_class=None, pagination_class=None)
    def bulk(self, request: Request) -> Response:
        """Tell many domains one thing, in order. With `dry_run` only what would be done is told (200)."""
        if not rights_of(request.user).operates:
            raise PermissionDenied
        asked = BulkSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        wanted = dict(asked.validated_data)
        demand_of_login(request, wanted["verb"])
        if wanted.pop("dry_run"):
            plan = services.plan(
                verb=wanted["verb"],
                selector=wanted["selector"],
                order=wanted["order"],
                actor=caller(request),
            )
            return Response(BulkPlanSerializer(plan).data)
        operation = services.bulk(**wanted, actor=caller(request), key=key_of(request))
        return answered(request, operation)


class DefineView(APIView):
    """`/api/hosts/{id}/domains/`: new domains of a host."""

    permission_classes = [HasGrants]
    own_keys: ClassVar[frozenset[str]] = frozenset({"post"})

    @extend_schema(request=DefinitionSerializer, **CHANGES)
    def post(self, request: Request, pk: int) -> Response:
        """Define a domain by libvirt's XML, or redefine the one of its UUID. It is not started."""
        host = get_object_or_404(Host.objects.visible_to(caller(request)), pk=pk)
        demand(request.user, "define", host)
        asked = DefinitionSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        precondition = dict(asked.validated_data)
        xml = precondition.pop("xml")
        operation = services.define(host, xml=xml, precondition=precondition, **asked_by(request))
        return answered(request, operation)


class DomainViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    MetricsMixin,
    VerbsMixin,
    viewsets.GenericViewSet[Domain],
):
    """The virtual machines of all hosts, as last reported. Only `xml` and `screenshot` wait for the host."""

    permission_classes = [ByGrant]
    verbs = {"destroy": "forget", "force_off": "destroy", "partial_update": "metadata"}
    # Which of the selected domains may be told it is asked of each.
    judged = frozenset({"bulk"})
    queryset = Domain.objects.none()
    filterset_class = DomainFilter
    ordering_fields = ["name", "state", "vcpus", "memory", "host__hostname", "first_seen", "autostart"]

    def get_queryset(self) -> DomainQuerySet:
        seen = Domain.objects.visible_to(caller(self.request))
        found = seen.with_stale().select_related("host")
        return found.only(*READ_FOR_LISTS) if self.action == "list" else found

    def get_serializer_class(self) -> type[BaseSerializer[Domain]]:
        return DomainSerializer if self.action == "list" else DomainDetailSerializer

    def retrieve(self, request: Request, *args: object, **kwargs: object) -> Response:
        """The domain with its devices. Asking has them looked at again, for the next time."""
        domain = self.get_object()
        services.wish_details(domain)
        return Response(self.get_serializer(domain).data)

    def perform_destroy(self, instance: Domain) -> None:
        """Forget a domain that its host does not list any more. Nothing on the hypervisor changes."""
        services.forget(instance)

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

    @extend_schema(request=ConsoleWishSerializer, responses=ConsoleTicketSerializer)
    @action(detail=True, methods=["post"])
    def console(self, request: Request, pk: str) -> Response:
        """A ticket that opens a console once. The first message on the WebSocket at `url` carries it."""
        domain = self._target()
        wish = ConsoleWishSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        kind = wish.validated_data["kind"]
        ticket = services.offer_console(domain, kind=kind, login=login_of_request(request))
        return Response(ticket, headers={"Cache-Control": "no-store"})
