"""The pages of access: one's own, the audit, and who may do what."""

from .audit import audit, export_audit
from .entering import (
    Recover,
    back_from_provider,
    change_password,
    reauthenticate_at_provider,
    setup,
    sign_in_at_provider,
)
from .explaining import explain
from .granting import grant_to_group, grant_to_user, revoke_grant
from .groups import create_group, delete_group, group, groups, rename_group
from .quotas import limit_group, limit_user, quota
from .tokens import create_token, delete_token, tokens
from .users import create_user, put_into_groups, set_active, user, users

__all__ = [
    "Recover",
    "audit",
    "back_from_provider",
    "change_password",
    "create_group",
    "create_token",
    "create_user",
    "delete_group",
    "delete_token",
    "explain",
    "export_audit",
    "grant_to_group",
    "grant_to_user",
    "group",
    "groups",
    "limit_group",
    "limit_user",
    "put_into_groups",
    "quota",
    "reauthenticate_at_provider",
    "rename_group",
    "revoke_grant",
    "set_active",
    "setup",
    "sign_in_at_provider",
    "tokens",
    "user",
    "users",
]
