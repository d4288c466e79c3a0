"""What is known of a range, summed up: how many addresses of each kind, and the map of them all."""

from collections.abc import Collection

from django.db.models import Count

from ..choices import Kind
from ..models import Address, Range
from ..networks import number_of, span
from .targets import own_addresses

# What a byte of the address map says. Silent addresses have no row, and those left alone belong to no crawl.
LETTERS = {Kind.HYPERVISOR: "h", Kind.FOREIGN: "f", Kind.OTHER: "o"}
SILENT, LEFT_ALONE = ".", "x"


def counts(range_: Range) -> dict[str, int]:
    """Return the numbers of `hypervisors`, `foreign`, `others` and `silent` addresses of a range."""
    return counts_of([range_])[range_.pk]


def counts_of(ranges: Collection[Range]) -> dict[int, dict[str, int]]:
    """Return the `counts` of several ranges by id, in two queries for all of them."""
    rows = (
        Address.objects.filter(range__in=ranges)
        .order_by()
        .values_list("range", "kind")
        .annotate(n=Count("pk"))
    )
    by_kind: dict[int, dict[str, int]] = {range_.pk: {} for range_ in ranges}
    for range_id, kind, number in rows:
        by_kind[range_id][kind] = number
    enabled = list(Range.objects.enabled())
    return {range_.pk: _counted(by_kind[range_.pk], len(own_addresses(range_, enabled))) for range_ in ranges}


def _counted(by_kind: dict[str, int], asked: int) -> dict[str, int]:
    answered = sum(by_kind.values())
    return {
        "hypervisors": by_kind.get(Kind.HYPERVISOR, 0),
        "foreign": by_kind.get(Kind.FOREIGN, 0),
        "others": by_kind.get(Kind.OTHER, 0),
        "silent": max(0, asked - answered),
    }


def address_grid(range_: Range) -> bytes:
    """Return one byte for each address of the range: `h`, `f`, `o`, `.` silent, or `x` left alone."""
    first, last = span(range_.network)
    grid = bytearray(LEFT_ALONE.encode() * (last - first + 1))
    for low, high in own_addresses(range_).spans:
        grid[low - first : high - first + 1] = SILENT.encode() * (high - low + 1)
    letters = {str(kind): ord(letter) for kind, letter in LETTERS.items()}
    for packed, kind in Address.objects.filter(range=range_).order_by().values_list("packed", "kind"):
        grid[number_of(packed) - first] = letters[kind]
    return bytes(grid)
