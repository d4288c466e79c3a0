"""The REST API on one screen."""

from drf_spectacular.plumbing import resolve_type_hint
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter
from rest_framework.views import APIView

from access.api import AuditViewSet, GrantViewSet, GroupViewSet, TokenViewSet, UserViewSet
from access.permissions import HasGrants, caller
from discovery.api import AddressViewSet, CrawlViewSet, RangeViewSet
from domains.api import DomainViewSet
from hosts.api import HostViewSet, JoinKeyViewSet, OperationViewSet

from .summary import Summary, summary_for

router = DefaultRouter(use_regex_path=False)
router.include_format_suffixes = False
router.register("ranges", RangeViewSet)
router.register("crawls", CrawlViewSet)
router.register("addresses", AddressViewSet)
router.register("hosts", HostViewSet)
router.register("join-keys", JoinKeyViewSet)
router.register("domains", DomainViewSet)
router.register("operations", OperationViewSet)
router.register("tokens", TokenViewSet)
router.register("users", UserViewSet)
router.register("groups", GroupViewSet)
router.register("grants", GrantViewSet)
router.register("audit", AuditViewSet)


class SummaryView(APIView):
    permission_classes = [HasGrants]

    @extend_schema(responses=OpenApiResponse(resolve_type_hint(Summary)))  # type: ignore[no-untyped-call]
    def get(self, request: Request) -> Response:
        """The numbers of the overview, of what the caller may see. Sizes are bytes."""
        return Response(summary_for(caller(request)))
