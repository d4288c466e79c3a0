"""Writing what was learned of a host, and telling those who look at it."""

from collections.abc import Mapping

from django.utils import timezone

from ..errors import sentence
from ..live import FLEET, publish
from ..models import Host, HostAddress, HostQuerySet


def announce(host: Host) -> None:
    """Tell every page that shows the host."""
    publish("host.changed", host.pk, FLEET, f"host.{host.pk}")


def write(rows: HostQuerySet, host: Host, **values: object) -> bool:
    """Update a host's row if it is one of `rows`, and the object with it; return whether it was."""
    if not rows.filter(pk=host.pk).update(**values):
        return False
    _show(host, values)
    return True


def record(host: Host, **values: object) -> bool:
    """Store what differs, and tell those who look; return whether anything did."""
    changed = {name: value for name, value in values.items() if getattr(host, name) != value}
    if changed:
        Host.objects.filter(pk=host.pk).update(**changed)
        _show(host, changed)
        announce(host)
    return bool(changed)


def _show(host: Host, values: Mapping[str, object]) -> None:
    for name, value in values.items():
        setattr(host, name, value)


def set_problem(host: Host, problem: str, reason: str = "") -> bool:
    """Show what is wrong with a host, in words; an empty `problem` says that all is well.

    Returns whether that is news.
    """
    return record(host, problem=problem, reason=reason or (sentence(problem) if problem else ""))


def note_address(host: Host, ip: str, port: int) -> None:
    """The host proved its identity here: the address is its own, and no other host's."""
    HostAddress.objects.update_or_create(
        ip=ip, port=port, defaults={"host": host, "proved_at": timezone.now()}
    )


def record_proof(host: Host, ip: str, port: int) -> None:
    """The host proved its identity here, and is spoken to here from now on."""
    now = timezone.now()
    note_address(host, ip, port)
    moved = record(host, address=ip, port=port)
    if host.missed_probes and not moved:
        announce(host)
    write(Host.objects.all(), host, last_seen=now, missed_probes=0)
