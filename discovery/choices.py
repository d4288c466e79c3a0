"""The words of discovery."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

LONGEST_LABEL = 100
MAX_EXCLUDED = 1000
# Packets per second.
DEFAULT_MAX_RATE, MAX_RATE = 5000, 10_000_000
# Seconds between two crawls of a phase.
SHORTEST_PERIOD, LONGEST_PERIOD = 5, 366 * 86400
CHUNK_ADDRESSES = 8192


class Phase(TextChoices):
    """What a crawl looks at. Their order gives the numbers 1 to 4 of the command line."""

    FULL = "full", _("Full: every address")
    NEW = "new", _("New: addresses not known to be active")
    RECHECK = "recheck", _("Recheck: active hosts that are no hypervisors")
    PROBE = "probe", _("Probe: known hypervisors")


class CrawlState(TextChoices):
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


ACTIVE_STATES = [CrawlState.QUEUED, CrawlState.RUNNING]


class ChunkState(TextChoices):
    WAITING = "waiting", _("Waiting")
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")


class Kind(TextChoices):
    """What answers at an address. Silent addresses have no row."""

    HYPERVISOR = "hypervisor", _("Hypervisor")
    FOREIGN = "foreign", _("Foreign service on the port")
    OTHER = "other", _("Other host")


DEFAULT_SCHEDULE: dict[str, int] = {Phase.FULL: 86400, Phase.NEW: 1800, Phase.RECHECK: 600, Phase.PROBE: 15}
