"""`/api/quota/`: what the caller may still create; and what the routes of users and groups say of quotas."""

from django.contrib.auth.models import User
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from .. import services
from ..permissions import HasGrants, caller
from ..serializers import QuotaSerializer, RoomsSerializer


def limits_in(request: Request) -> services.Limits:
    """The limits that a request would set."""
    asked = QuotaSerializer(data=request.data)
    asked.is_valid(raise_exception=True)
    limits: services.Limits = asked.validated_data
    return limits


def quota_told(user: User) -> Response:
    """What was set for a user, and what he may still create."""
    room = RoomsSerializer(services.room_of(user)).data
    return Response({**QuotaSerializer(services.quota_of(user)).data, "room": room})


class OwnQuotaView(APIView):
    permission_classes = [HasGrants]

    @extend_schema(responses=RoomsSerializer)
    def get(self, request: Request) -> Response:
        """What limits you, what you have, and what you may still create."""
        return Response(RoomsSerializer(services.room_of(caller(request))).data)
