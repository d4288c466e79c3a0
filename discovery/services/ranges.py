"""Making and changing ranges, and which range an address belongs to: the narrowest that is enabled."""

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any, TypedDict, Unpack

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from access import audit
from access.choices import Action
from hosts.choices import DAEMON_PORT, MAX_PORT
from hosts.live import CRAWLS, FLEET, publish

from ..choices import (
    DEFAULT_MAX_RATE,
    LONGEST_LABEL,
    LONGEST_PERIOD,
    MAX_EXCLUDED,
    MAX_RATE,
    SHORTEST_PERIOD,
    Phase,
)
from ..errors import BadRange
from ..models import Address, Range, default_schedule
from ..networks import bounds, holders, parse_network, parse_range
from .crawls import cancel

Schedule = dict[str, int | None]


class RangeFields(TypedDict, total=False):
    """The fields of a range, as people write them."""

    cidr: str
    label: str
    port: int
    excluded: Iterable[str]
    max_rate: int | None
    enabled: bool
    schedule: Schedule | None


def create_range(
    *,
    cidr: str,
    label: str = "",
    port: int = DAEMON_PORT,
    excluded: Iterable[str] = (),
    max_rate: int | None = DEFAULT_MAX_RATE,
    enabled: bool = True,
    schedule: Schedule | None = None,
) -> Range:
    """Record a range; nothing is scanned by that. Raises BadRange with the field that is wrong."""
    range_ = Range(cidr=str(parse_range(cidr)), schedule=default_schedule())
    _write(
        range_,
        label=label,
        port=port,
        excluded=excluded,
        max_rate=max_rate,
        enabled=enabled,
        schedule=schedule,
    )
    try:
        with audit.deed(Action.RANGE_CREATE) as doing:
            _save(range_)
            doing.target, doing.detail = range_, {"port": range_.port, "enabled": range_.enabled}
    except IntegrityError:
        raise BadRange("cidr", _("There is a range %(cidr)s already.") % {"cidr": range_.cidr}) from None
    return range_


def update_range(range_: Range, **changes: Unpack[RangeFields]) -> Range:
    """Change a range; its block stays, since addresses belong to it. Raises BadRange.

    Once it is switched off, nothing in it is sent a packet: its crawls end.
    """
    if str(parse_range(changes.pop("cidr", range_.cidr))) != range_.cidr:
        raise BadRange("cidr", _("The block of a range cannot change. Make another range."))
    before = {name: getattr(range_, name) for name in changes}
    with audit.deed(Action.RANGE_CHANGE, range_) as doing:
        _write(range_, **changes)
        _save(range_)
        changed = sorted(name for name, value in before.items() if getattr(range_, name) != value)
        doing.detail = {"changed": changed, "enabled": range_.enabled}
    if not range_.enabled:
        for crawl in range_.crawls.active():
            cancel(crawl)
    return range_


def _write(range_: Range, **fields: Any) -> None:
    """Check the fields that are given, and set them."""
    checks: dict[str, Callable[[Any], Any]] = {
        "label": lambda text: str(text).strip()[:LONGEST_LABEL],
        "port": lambda number: _whole("port", number, 1, MAX_PORT),
        "max_rate": lambda number: None if number is None else _whole("max_rate", number, 1, MAX_RATE),
        "excluded": lambda texts: _excluded(range_, texts),
        "enabled": bool,
        "schedule": lambda periods: range_.schedule | _schedule(periods or {}),
    }
    for name, value in fields.items():
        setattr(range_, name, checks[name](value))


def _whole(field: str, number: object, low: int, high: int) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
        limits = {"low": low, "high": high}
        raise BadRange(field, _("This must be a whole number from %(low)s to %(high)s.") % limits)
    return number


def _excluded(range_: Range, texts: Iterable[str]) -> list[str]:
    listed = list(texts)
    if len(listed) > MAX_EXCLUDED:
        raise BadRange("excluded", _("At most %(count)s blocks can be excluded.") % {"count": MAX_EXCLUDED})
    blocks = [parse_network(text, "excluded") for text in listed]
    for block in blocks:
        if not block.overlaps(range_.network):
            shown = {"block": str(block), "range": range_.cidr}
            raise BadRange("excluded", _("%(block)s lies outside the range %(range)s.") % shown)
    return list(dict.fromkeys(map(str, blocks)))


def _schedule(periods: Schedule) -> Schedule:
    if not isinstance(periods, dict) or not set(periods) <= set(Phase.values):
        raise BadRange("schedule", _("The phases are %(phases)s.") % {"phases": ", ".join(Phase.values)})
    return {
        phase: None if seconds is None else _whole("schedule", seconds, SHORTEST_PERIOD, LONGEST_PERIOD)
        for phase, seconds in periods.items()
    }


def _save(range_: Range) -> None:
    with transaction.atomic():
        range_.save()
        _hand_out(range_, Range.objects.enabled())
        publish("range.changed", range_.pk, FLEET, CRAWLS)


def _hand_out(range_: Range, ranges: Iterable[Range]) -> None:
    """Give the addresses within the block of `range_` to the narrowest of `ranges` that holds them."""
    overlapping = [other for other in ranges if other.network.overlaps(range_.network)]
    for owner in sorted(overlapping, key=lambda other: other.network.prefixlen):
        shared = max(owner.network, range_.network, key=lambda network: network.prefixlen)
        Address.objects.filter(packed__range=bounds(shared)).exclude(range=owner).update(range=owner)


def release_addresses(*, instance: Range, **_signal: object) -> None:
    """Before a range is deleted, hand its addresses to a wider one. (Receiver of pre_delete.)"""
    _hand_out(instance, Range.objects.enabled().exclude(pk=instance.pk))
    publish("range.changed", instance.pk, FLEET, CRAWLS)


def record_deletion(*, instance: Range, **_signal: object) -> None:
    """Of whoever deletes a range, and however. (Receiver of post_delete.)"""
    audit.record(Action.RANGE_DELETE, instance)


def may_dial(ip: str) -> bool:
    """Does `ip` lie in an enabled range, and is excluded by none?"""
    try:
        # A scope (fe80::1%eth0) is a name of this machine's, not a part of an address.
        address = ipaddress.ip_address("" if "%" in ip else ip)
    except ValueError:
        return False
    # Asked before every call, so that a range which was switched off is left at once.
    holding = Range.objects.enabled().filter(cidr__in=holders(address)).order_by()
    exclusions = list(holding.values_list("excluded", flat=True))
    return bool(exclusions) and not any(
        address in ipaddress.ip_network(block) for blocks in exclusions for block in blocks
    )
