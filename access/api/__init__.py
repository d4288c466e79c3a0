"""The API of access: one's own tokens and quota, the audit, and who may do what."""

from .audit import AuditViewSet
from .people import ExplainView, GrantViewSet, GroupViewSet, UserViewSet
from .quotas import OwnQuotaView
from .tokens import TokenViewSet

__all__ = [
    "AuditViewSet",
    "ExplainView",
    "GrantViewSet",
    "GroupViewSet",
    "OwnQuotaView",
    "TokenViewSet",
    "UserViewSet",
]
