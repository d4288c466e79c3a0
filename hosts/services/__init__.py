"""What may be done with hosts, with join keys and by operations. One idea per module."""

from .adding import add_by_hand
from .adopting import adopt
from .approving import Verdict, approve_many
from .connecting import ConnectionReport, try_connection
from .decisions import approve, deny, forget, retire, wake
from .farewells import repeat_farewells, say_farewell
from .join_keys import create_join_key, revoke_join_key
from .meeting import Meeting, meet
from .operations import (
    BulkTarget,
    accept,
    accept_bulk,
    cancel,
    carry,
    carry_host,
    is_cancellable,
    may_cancel,
    replayed,
    settle,
    settle_report,
    sweep,
    wait_for,
)
from .probing import ProbeOutcome, probe
from .quarantine import note_stranger, record_release
from .refreshing import RefreshOutcome, keep_listing, refresh
from .renewing import renew, renew_due
from .rotating import RotationReport, go_on_rotating, rotate, rotation_report
from .statuses import publish_statuses
from .turns import writing_turn
from .twins import note_twins
from .waking import wake_worker
from .watching import (
    Followable,
    Whereabouts,
    follow,
    followables,
    is_followed,
    note_alive,
    note_bad_events,
    note_libvirt_down,
    still_followed,
    whereabouts,
)

__all__ = [
    "BulkTarget",
    "ConnectionReport",
    "Followable",
    "Meeting",
    "ProbeOutcome",
    "RefreshOutcome",
    "RotationReport",
    "Verdict",
    "Whereabouts",
    "accept",
    "accept_bulk",
    "add_by_hand",
    "adopt",
    "approve",
    "approve_many",
    "cancel",
    "carry",
    "carry_host",
    "create_join_key",
    "deny",
    "follow",
    "followables",
    "forget",
    "go_on_rotating",
    "is_cancellable",
    "is_followed",
    "keep_listing",
    "may_cancel",
    "meet",
    "note_alive",
    "note_bad_events",
    "note_libvirt_down",
    "note_stranger",
    "note_twins",
    "probe",
    "publish_statuses",
    "record_release",
    "refresh",
    "renew",
    "renew_due",
    "repeat_farewells",
    "replayed",
    "retire",
    "revoke_join_key",
    "rotate",
    "rotation_report",
    "say_farewell",
    "settle",
    "settle_report",
    "still_followed",
    "sweep",
    "try_connection",
    "wait_for",
    "wake",
    "wake_worker",
    "whereabouts",
    "writing_turn",
]
