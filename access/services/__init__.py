"""Who gets in, who may do what, and why."""

from .entering import (
    AUTOMATION_USER,
    SETUP_LINK_LIFE,
    create_first_administrator,
    create_recovery_link,
    create_setup_link,
    ensure_automation_user,
    recover,
    recovery_tokens,
    setup_is_open,
    signs_in_elsewhere,
)
from .explaining import Explanation, Line, Reason, explain, explained_verbs
from .granting import grant, names_of, place_of, told
from .people import create_group, create_user, put_into_groups, rename_group, set_active
from .quotas import Limits, Room, quota_of, room_of, set_quota
from .tokens import TOKEN_LIFE, create_token, create_token_for

__all__ = [
    "AUTOMATION_USER",
    "SETUP_LINK_LIFE",
    "TOKEN_LIFE",
    "Explanation",
    "Limits",
    "Line",
    "Reason",
    "Room",
    "create_first_administrator",
    "create_group",
    "create_recovery_link",
    "create_setup_link",
    "create_token",
    "create_token_for",
    "create_user",
    "ensure_automation_user",
    "explain",
    "explained_verbs",
    "grant",
    "names_of",
    "place_of",
    "put_into_groups",
    "quota_of",
    "recover",
    "recovery_tokens",
    "rename_group",
    "room_of",
    "set_active",
    "set_quota",
    "setup_is_open",
    "signs_in_elsewhere",
    "told",
]
