"""The words a domain is described with: libvirt's."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


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
