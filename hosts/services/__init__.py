"""What may be done with hosts and join keys. One idea per module."""

from .adding import add_by_hand
from .decisions import approve, deny, forget, retire, wake
from .join_keys import create_join_key, revoke_join_key
from .meeting import Meeting, meet
from .probing import ProbeOutcome, probe
from .quarantine import note_stranger
from .refreshing import RefreshOutcome, refresh
from .statuses import publish_statuses

__all__ = [
    "Meeting",
    "ProbeOutcome",
    "RefreshOutcome",
    "add_by_hand",
    "approve",
    "create_join_key",
    "deny",
    "forget",
    "meet",
    "note_stranger",
    "probe",
    "publish_statuses",
    "refresh",
    "retire",
    "revoke_join_key",
    "wake",
]
