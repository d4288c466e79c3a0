"""The words of hosts, of joining and of operations, and how much of each there may be."""

from datetime import timedelta

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

DAEMON_PORT = 16510
MAX_PORT = 65535
STALE_AFTER = timedelta(seconds=30)
OFFLINE_AFTER = timedelta(seconds=120)
STALE_AFTER_MISSED_PROBES = 2
# So long after the last sign of life on its stream a host counts as followed: it tells of itself.
FOLLOWED_FOR = timedelta(seconds=20)

# What a join key may be.
LONGEST_LABEL = 100
JOIN_KEY_LIFE = timedelta(days=1)
SHORTEST_JOIN_KEY_LIFE, LONGEST_JOIN_KEY_LIFE = timedelta(seconds=1), timedelta(days=366)
MAX_USES = 1_000_000

# How many hosts are approved at once.
MOST_APPROVED = 500


class Trust(TextChoices):
    """How far a found daemon has come on its way to an owned host."""

    FOUND = "found", _("Found")
    PENDING = "pending", _("Waiting for approval")
    OWNED = "owned", _("Owned")
    DENIED = "denied", _("Denied")
    RETIRED = "retired", _("Retired")


# A person gave these up: they are not spoken to until a person lets them in again.
GIVEN_UP = (Trust.DENIED, Trust.RETIRED)


class Status(TextChoices):
    """How fresh the last proof of life is. Derived from its age, never stored."""

    ONLINE = "online", _("Online")
    STALE = "stale", _("Stale")
    OFFLINE = "offline", _("Offline")
    UNKNOWN = "unknown", _("Unknown")


class Approval(TextChoices):
    """What happens to a host that proves a join key."""

    AUTO = "auto", _("At once")
    PENDING = "pending", _("After approval")


class JoinedBy(TextChoices):
    """By what a host proved that it is ours."""

    KEY = "key", _("Join key")
    CODE = "code", _("Adopt code")
    # It already carried a certificate of ours, when a person who was asked let it in.
    APPROVAL = "approval", _("Approval")


class Hop(TextChoices):
    """What stands between this server and a host's libvirt, in the order in which it is met."""

    NAME = "name", _("Name")
    ROUTE = "route", _("Route")
    PORT = "port", _("Port")
    TLS = "tls", _("TLS")
    CERTIFICATE = "certificate", _("Certificate")
    ROLE = "role", _("Role")
    PROTOCOL = "protocol", _("Protocol version")
    LIBVIRT = "libvirt", _("libvirt")


class HopOutcome(TextChoices):
    """What became of one hop. Behind the one that failed, nothing was tried."""

    PASSED = "passed", _("Passed")
    NOTED = "noted", _("Noted")
    FAILED = "failed", _("Failed")
    UNTRIED = "untried", _("Not tried")


class OperationState(TextChoices):
    """How far a change has come. Forward only; the last five are verdicts."""

    ACCEPTED = "accepted", _("Accepted")
    SENT = "sent", _("Sent")
    RUNNING = "running", _("Running")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")
    EXPIRED = "expired", _("Expired")
    UNKNOWN = "unknown", _("Unknown")


# What a daemon may be at work on.
BEGUN_STATES = (OperationState.SENT, OperationState.RUNNING)
# A daemon counts the time from when it was asked, and may be looked at again only a while later.
OVERDUE_AFTER = timedelta(seconds=30)
OPEN_STATES = (OperationState.ACCEPTED, OperationState.SENT, OperationState.RUNNING)


class TargetType(TextChoices):
    """What an operation changes."""

    DOMAIN = "domain", _("Domain")
    HOST = "host", _("Host")
    SELECTION = "selection", _("Selection of domains")
