"""The words a domain is described with: libvirt's."""

from collections.abc import Mapping
from typing import Final

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

# What a person may say about a domain, in its libvirt's metadata: as much as a daemon takes and tells.
LONGEST_TITLE = 255
LONGEST_DESCRIPTION = 8192
MOST_TAGS, LONGEST_TAG = 64, 64
# In bytes.
LONGEST_XML = 512 * 1024


class DomainState(TextChoices):
    """virDomainState, in words."""

    RUNNING = "running", _("Running")
    BLOCKED = "blocked", _("Blocked")
    PAUSED = "paused", _("Paused")
    SHUTDOWN = "shutdown", _("Shutting down")
    SHUTOFF = "shutoff", _("Shut off")
    CRASHED = "crashed", _("Crashed")
    PMSUSPENDED = "pmsuspended", _("Suspended")
    UNKNOWN = "unknown", _("Unknown")


class ConsoleKind(TextChoices):
    """The ways to a domain's console, as the daemon calls them."""

    SERIAL = "serial", _("Serial")
    VNC = "vnc", _("Graphics")


class ConsoleMode(TextChoices):
    """How to join: be the writer if there is none, only look, or be the writer whoever is it now."""

    ASK = "ask", _("Ask")
    VIEW = "view", _("Read-only")
    TAKE = "take", _("Take over")


class Kind(TextChoices):
    """What a series of measurements is of."""

    DOMAIN = "domain", _("Domain")
    HOST = "host", _("Host")


# The series of each kind and their units, in the order in which points hold them.
SERIES: Final[Mapping[Kind, Mapping[str, str]]] = {
    Kind.DOMAIN: {
        "cpu": "%",
        "memory_used": "B",
        "block_read": "B/s",
        "block_write": "B/s",
        "block_read_requests": "1/s",
        "block_write_requests": "1/s",
        "net_receive": "B/s",
        "net_transmit": "B/s",
    },
    Kind.HOST: {"cpu": "%", "memory_used": "B", "load_1": "", "load_5": "", "load_15": ""},
}
