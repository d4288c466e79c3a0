"""Small pictures of numbers, drawn by the server."""

from collections.abc import Iterator, Sequence

from django import template
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from .filling import fill, fill_each

register = template.Library()

HEIGHT = 20
STEP = 3
FULL = 100.0
# Where two measurements are one place apart they are joined; more is a gap.
JOINED = 2


@register.simple_tag
def sparkline(points: Sequence[float | None] | None) -> SafeString | str:
    """CPU, per cent, as a small line; nothing without any point. `points` are of `services.sparklines`."""
    told = [(place, value) for place, value in enumerate(points or ()) if value is not None]
    if not points or not told:
        return ""
    lines = fill_each('<polyline points="{}"></polyline>', ((line,) for line in _lines(told)))
    label = _("CPU of the last minutes, now %(value)s %%") % {"value": round(told[-1][1])}
    return fill(
        '<svg class="sparkline" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>',
        STEP * (len(points) - 1),
        HEIGHT,
        label,
        lines,
    )


def _lines(told: Sequence[tuple[int, float]]) -> Iterator[str]:
    lines: list[list[str]] = []
    before = -JOINED - 1
    for place, value in told:
        if place - before > JOINED:
            lines.append([])
        y = HEIGHT - 1 - (HEIGHT - 2) * min(FULL, max(0.0, value)) / FULL
        lines[-1].append(f"{STEP * place},{y:.1f}")
        before = place
    for line in lines:
        # One point alone would not be seen.
        yield " ".join(line if len(line) > 1 else line * 2)
