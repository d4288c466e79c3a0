"""The API of access: one's own tokens, the audit, and who may do what."""

from .own import AuditViewSet, TokenViewSet
from .people import ExplainView, GrantViewSet, GroupViewSet, UserViewSet

__all__ = ["AuditViewSet", "ExplainView", "GrantViewSet", "GroupViewSet", "TokenViewSet", "UserViewSet"]
