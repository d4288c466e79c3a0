"""`/api/users/`, `/api/groups/`, `/api/grants/` and `/api/explain/`, for administrators."""

from typing import Any

from django.contrib.auth.models import Group, User
from django.db.models import Count, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from .. import services, siblings
from ..authentication import demand_of_login
from ..choices import Target
from ..filters import GrantFilter, GroupFilter, UserFilter
from ..models import Grant
from ..permissions import IsAdministrator, caller
from ..serializers import (
    ChangedUserSerializer,
    ExplanationSerializer,
    GrantSerializer,
    GroupSerializer,
    NewGrantSerializer,
    NewUserSerializer,
    QuestionSerializer,
    QuotaSerializer,
    UserQuotaSerializer,
    UserSerializer,
)
from .quotas import limits_in, quota_told


class UserViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[User]):
    """Users. None is deleted here: who is disabled keeps his name in the journal, and his grants."""

    permission_classes = [IsAdministrator]
    queryset = User.objects.order_by("username").prefetch_related("groups")
    serializer_class = UserSerializer
    filterset_class = UserFilter
    ordering_fields = ["username", "is_active", "last_login", "date_joined"]

    @extend_schema(request=NewUserSerializer, responses={201: UserSerializer})
    def create(self, request: Request) -> Response:
        """Make a user, who may do what his groups were granted."""
        demand_of_login(request, "create_user")
        asked = NewUserSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        user = services.create_user(**asked.validated_data)
        return Response(self.get_serializer(user).data, status=201)

    @extend_schema(request=ChangedUserSerializer, responses=UserSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Disable or enable a user, or change his groups. What he has open and may not any more ends."""
        user: User = self.get_object()
        asked = ChangedUserSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        wanted = asked.validated_data
        if wanted.get("active"):
            demand_of_login(request, "enable_user")
        if "groups" in wanted:
            demand_of_login(request, "put_into_groups")
        if "active" in wanted:
            services.set_active(user, active=wanted["active"], actor=caller(request))
        if "groups" in wanted:
            services.put_into_groups(user, wanted["groups"], actor=caller(request))
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(responses=UserQuotaSerializer)
    @action(detail=True)
    def quota(self, request: Request, pk: str) -> Response:
        """What was set for him, and `room`: what he may still create, by that and by his groups."""
        return quota_told(self.get_object())

    @extend_schema(request=QuotaSerializer, responses=UserQuotaSerializer)
    @quota.mapping.put
    def set_quota(self, request: Request, pk: str) -> Response:
        """Limit what he may create; all null lifts it. Of a superuser for superusers alone."""
        user: User = self.get_object()
        services.set_quota(user, limits_in(request), actor=caller(request))
        return quota_told(user)


class GroupViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet[Group]
):
    """Groups of users. What is granted to one all its members have."""

    permission_classes = [IsAdministrator]
    queryset = Group.objects.order_by("name").annotate(members=Count("user"))
    serializer_class = GroupSerializer
    filterset_class = GroupFilter
    ordering_fields = ["name", "members"]

    @extend_schema(responses={201: GroupSerializer})
    def create(self, request: Request) -> Response:
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        group = services.create_group(**asked.validated_data)
        return Response(self.get_serializer(self.get_queryset().get(pk=group.pk)).data, status=201)

    @extend_schema(responses=GroupSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Rename a group. A provider or a directory that names groups finds it by its new name."""
        demand_of_login(request, "rename_group")
        group: Group = self.get_object()
        asked = self.get_serializer(group, data=request.data, partial=True)
        asked.is_valid(raise_exception=True)
        if "name" in asked.validated_data:
            services.rename_group(group, asked.validated_data["name"])
        return Response(self.get_serializer(group).data)

    @extend_schema(responses=QuotaSerializer)
    @action(detail=True)
    def quota(self, request: Request, pk: str) -> Response:
        """What limits each of its members."""
        return Response(QuotaSerializer(services.quota_of(self.get_object())).data)

    @extend_schema(request=QuotaSerializer, responses=QuotaSerializer)
    @quota.mapping.put
    def set_quota(self, request: Request, pk: str) -> Response:
        """Limit what each of its members may create; all null lifts it."""
        group: Group = self.get_object()
        services.set_quota(group, limits_in(request), actor=caller(request))
        return Response(QuotaSerializer(services.quota_of(group)).data)


class GrantViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet[Grant]
):
    """Who was granted which role on what."""

    permission_classes = [IsAdministrator]
    queryset = Grant.objects.select_related("user", "group", "created_by")
    serializer_class = GrantSerializer
    filterset_class = GrantFilter
    ordering_fields = ["created_at", "role", "target"]

    def paginate_queryset(self, queryset: "QuerySet[Grant] | Any") -> Any:
        page = super().paginate_queryset(queryset)
        self.names = services.names_of(page or ())
        return page

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "names": getattr(self, "names", None)}

    @extend_schema(request=NewGrantSerializer, responses={201: GrantSerializer})
    def create(self, request: Request) -> Response:
        """Grant a role to a user or to a group. One that was granted on the same before is replaced."""
        demand_of_login(request, "create_grant")
        asked = NewGrantSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        granted = services.grant(**asked.validated_data, actor=caller(request))
        return Response(self.get_serializer(granted).data, status=201)


def _thing(target: str, key: int) -> Any:
    """The object that is asked about; None of everything."""
    if target == Target.EVERYTHING:
        return None
    found = siblings.things(target, [key])
    if key not in found:
        raise NotFound
    return found[key]


class ExplainView(APIView):
    permission_classes = [IsAdministrator]

    @extend_schema(parameters=[QuestionSerializer], responses=ExplanationSerializer)
    def get(self, request: Request) -> Response:
        """Why may, or may not, this user do this to that object? Without one: to everything."""
        asked = QuestionSerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        question = asked.validated_data
        user = get_object_or_404(User, pk=question["user"])
        thing = _thing(question["target"], question["id"])
        return Response(ExplanationSerializer(services.explain(user, question["verb"], thing)).data)
