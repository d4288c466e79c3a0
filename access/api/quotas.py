"""`/api/quota/`: what the caller may still create."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from .. import services
from ..permissions import HasGrants, caller
from ..serializers import RoomsSerializer


class OwnQuotaView(APIView):
    permission_classes = [HasGrants]

    @extend_schema(responses=RoomsSerializer)
    def get(self, request: Request) -> Response:
        """What limits you, what you have, and what you may still create."""
        return Response(RoomsSerializer(services.room_of(caller(request))).data)
