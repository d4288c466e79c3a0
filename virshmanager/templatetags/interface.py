"""The small words of the pages: icons, ages, sizes, states, and heads of columns that sort."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache

from django import template
from django.forms import BoundField
from django.template.context import RequestContext
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from access.choices import Action
from discovery.models import Crawl
from hosts.errors import sentence as sentence_of
from hosts.models import Host, Operation

from .filling import fill

register = template.Library()

MINUTE, HOUR, DAY = 60, 3600, 86400
KIB = 1024
SMALL = 10  # below it a size has a digit after the point
# How good a word is, so that colours are used for state and for nothing else.
TONES = {
    "good": {"online", "owned", "running", "succeeded", "usable", "hypervisor", "passed"},
    "warn": {"stale", "pending", "found", "paused", "blocked", "shutdown", "foreign", "queued", "noted"},
    "bad": {"offline", "denied", "crashed", "failed"},
}
KINDS = {
    "apitoken": gettext_lazy("API token"),
    "domain": gettext_lazy("domain"),
    "group": gettext_lazy("group"),
    "host": gettext_lazy("host"),
    "joinkey": gettext_lazy("join key"),
    "quarantinedkey": gettext_lazy("quarantined key"),
    "user": gettext_lazy("user"),
}
STATE = '<span class="state state-{}" data-state="{}"><span class="dot" aria-hidden="true"></span>{}</span>'


def age_patterns() -> dict[str, str]:
    """How an age is written. The browser gets the same patterns, so a running age keeps its form."""
    return {
        "now": _("just now"),
        "s": _("{n} s ago"),
        "min": _("{n} min ago"),
        "h": _("{n} h ago"),
        "d": _("{n} d ago"),
    }


def age_text(seconds: float) -> str:
    patterns = age_patterns()
    if seconds < 1:
        return patterns["now"]
    for unit, size, limit in (("s", 1, MINUTE), ("min", MINUTE, HOUR), ("h", HOUR, DAY)):
        if seconds < limit:
            return patterns[unit].format(n=int(seconds // size))
    return patterns["d"].format(n=int(seconds // DAY))


@register.simple_tag
def age(moment: datetime | None) -> str:
    """How long ago `moment` was; the browser keeps it current."""
    if moment is None:
        return _("never")
    text = age_text((timezone.now() - moment).total_seconds())
    iso = moment.isoformat(timespec="seconds")
    return format_html('<time class="age" datetime="{}" title="{}" data-age>{}</time>', iso, iso, text)


@register.filter
def duration(seconds: float | None) -> str:
    """A span of seconds in its two largest units."""
    if seconds is None:
        return _("off")
    whole = int(seconds)
    for size, unit, lower, lower_unit in (
        (DAY, "d", HOUR, "h"),
        (HOUR, "h", MINUTE, "min"),
        (MINUTE, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // lower
            return f"{whole // size} {unit}" + (f" {rest} {lower_unit}" if rest else "")
    return f"{whole} s"


@register.filter
def size(count: float | None) -> str:
    """Bytes in binary units, as administrators write them."""
    if count is None:
        return "–"  # noqa: RUF001 -- a dash, as in all tables
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < KIB:
            digits = 1 if amount < SMALL and amount % 1 else 0
            return f"{amount:.{digits}f} {unit}"
        amount /= KIB
    return f"{amount:.1f} TiB"


@register.filter
def quantity(count: int, in_bytes: bool) -> str:  # noqa: FBT001 -- a filter's argument
    """A number as it is, or as a size."""
    return size(count) if in_bytes else str(count)


def tone(word: str) -> str:
    """`good`, `warn`, `bad` or `calm`: which colour a state may have."""
    return next((name for name, words in TONES.items() if word in words), "calm")


@register.filter
def fingerprint(digest: str) -> str:
    """A hexadecimal digest in pairs, as every other tool prints it."""
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2)).upper()


@register.filter
def get(mapping: Mapping[str, object], key: str) -> object:
    return mapping.get(key)


@register.simple_tag
@cache
def icon(name: str, classes: str = "") -> SafeString:
    """An icon of the sprite. It repeats what the text beside it says, so a screen reader skips it."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        classes,
        static("vendor/icons.svg"),
        name,
    )


@register.simple_tag
def state(word: str, label: str) -> SafeString:
    """A state: a dot in its tone, and its name."""
    return fill(STATE, tone(word), word, label)


@register.inclusion_tag("partials/sort.html", takes_context=True)
def sort(context: RequestContext, field: str, label: str, classes: str = "") -> dict[str, object]:
    """A column's head that sorts by `field`, and back again."""
    request = context["request"]
    current = context.get("ordering") or ""
    descending = current == f"-{field}"
    query = request.GET.copy()
    query["ordering"] = f"-{field}" if current == field else field
    query.pop("page", None)
    direction = {field: "ascending", f"-{field}": "descending"}.get(current, "")
    return {
        "label": label,
        "query": query.urlencode(),
        "direction": direction,
        "down": descending,
        "classes": classes,
    }


@register.filter
def short(label: str) -> str:
    """The name in a label such as “Full: every address”."""
    return str(label).partition(":")[0]


@register.filter
def styled(field: BoundField) -> SafeString:
    """A form's field as Tabler draws it, whoever made the form; the first wrong one is where one goes on."""
    kind = {"checkbox": "form-check-input", "select": "form-select"}.get(field.widget_type, "form-control")
    attrs: dict[str, str | bool] = {"class": kind}
    if field.errors and field.name == next(iter(field.form.errors)):
        attrs["autofocus"] = True
    return field.as_widget(attrs=attrs)


@register.filter
def sentence(word: str) -> str:
    """What a stable word means to a person."""
    return sentence_of(word)


@register.filter
def time_left(crawl: Crawl) -> float | None:
    """Seconds until the crawl ends at the pace it had so far; None while that cannot be told."""
    if not crawl.done or not crawl.started_at:
        return None
    spent = (timezone.now() - crawl.started_at).total_seconds()
    return spent / crawl.done * (crawl.total - crawl.done)


@register.filter
def took(work: Crawl | Operation) -> float | None:
    begun = work.created_at if isinstance(work, Operation) else work.started_at
    if not begun or not work.finished_at:
        return None
    return (work.finished_at - begun).total_seconds()


@register.filter
def memory_used(host: Host) -> int:
    return (host.memory or 0) - (host.memory_free or 0)


@register.filter
def action_name(word: str) -> str:
    """What an action of the audit is called; one of a later version by its word."""
    return str(Action(word).label) if word in Action.values else word


@register.filter
def target_kind(word: str) -> str:
    """What a type of target of the audit is called: rows keep the names of models, which have no spaces."""
    return str(KINDS.get(word, word))


@register.filter
def tag_query(tag: str) -> str:
    return urlencode({"tag": tag})


XML_TOKENS = re.compile(
    r"(?P<tag></?[\w:.-]+|/?>|<[!?][^>]*>)|(?P<name>[\w:.-]+)(?==[\"'])|(?P<text>\"[^\"]*\"|'[^']*')"
)


def xml_pieces(xml: str) -> Iterator[tuple[str, str]]:
    """Cut XML into (class, text); what has no class is plain. All of it comes out, in order."""
    end = 0
    for token in XML_TOKENS.finditer(xml):
        if token.start() > end:
            yield "", xml[end : token.start()]
        yield f"x-{token.lastgroup}", token.group()
        end = token.end()
    yield "", xml[end:]


@register.filter
def highlight_xml(xml: str) -> SafeString:
    """XML as escaped HTML with its tags, attribute names and values marked."""
    return format_html_join("", '<span class="{}">{}</span>', xml_pieces(xml))


@register.simple_tag
def strings() -> dict[str, object]:
    """The words that scripts show, in the language of the page."""
    return {
        "age": age_patterns(),
        "live": _("Live"),
        "reconnecting": _("Reconnecting"),
        "offline": _("Offline"),
        "copied": _("Copied"),
        "failed": _(
            "The server did not do it (status {n}). Load the page again, and look before you repeat it."
        ),
        "unreachable": _("The server does not answer. Look before you repeat it: it may have been done."),
        "not_shown": _("The server cannot show this now. Nothing was done."),
        "silent": _("silent"),
        "other": _("other host"),
        "foreign": _("foreign service on the port"),
        "hypervisor": _("hypervisor"),
        "excluded": _("left alone"),
    }
