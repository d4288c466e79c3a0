"""`/api/tokens/`: the caller's own tokens."""

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from .. import services
from ..authentication import demand_of_login
from ..filters import TokenFilter
from ..models import ApiToken, ApiTokenQuerySet
from ..permissions import HasGrants, caller
from ..serializers import CreatedTokenSerializer, NewTokenSerializer, TokenSerializer


class TokenViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[ApiToken],
):
    """Your own API tokens. A token's text is in the answer that creates it, and nowhere else."""

    permission_classes = [HasGrants]
    serializer_class = TokenSerializer
    queryset = ApiToken.objects.none()
    filterset_class = TokenFilter
    ordering_fields = ["name", "created", "expiry", "last_used_at"]

    def get_queryset(self) -> ApiTokenQuerySet:
        tokens: ApiTokenQuerySet = ApiToken.objects.filter(user_id=self.request.user.pk)
        return tokens

    @extend_schema(request=NewTokenSerializer, responses={201: CreatedTokenSerializer})
    def create(self, request: Request) -> Response:
        demand_of_login(request, "create_token")
        asked = NewTokenSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        token, text = services.create_token(user=caller(request), **asked.validated_data)
        return Response({**TokenSerializer(token).data, "token": text}, status=201)
