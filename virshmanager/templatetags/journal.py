"""The words of the journal: what an operation does, how it stands, what went wrong and what to do next."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from django import template
from django.template.context import RequestContext
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from domains.verbs import VERBS
from hosts.choices import TargetType
from hosts.errors import SENTENCES
from hosts.models import Operation, OperationEvent

from .interface import STATE

register = template.Library()

# What a daemon's verdict means; what it said itself is shown with it.
VERDICTS: Final[Mapping[str, str | Promise]] = {
    "wrong_state": gettext_lazy("The domain was in a state that does not allow it."),
    "no_such_domain": gettext_lazy("Its host knows no such domain any more."),
    "invalid_xml": gettext_lazy("libvirt does not accept the XML."),
    "guest_did_not_stop": gettext_lazy("The guest did not shut down in time."),
    "hypervisor_busy": gettext_lazy("The hypervisor was busy with the domain, and did not take it."),
    "libvirt_down": gettext_lazy("libvirt did not answer on the host."),
    "not_supported": gettext_lazy("The hypervisor cannot do it."),
    "xml_changed": gettext_lazy("The definition was changed by someone else meanwhile."),
    "internal_error": gettext_lazy("libvirt refused, or failed at it."),
    "interrupted": gettext_lazy("The daemon was interrupted in the middle of it."),
}
# What to do about it, by the word; else by the state.
ADVICE: Final[Mapping[str, str | Promise]] = {
    "wrong_state": gettext_lazy("Look at its present state, and choose a verb that fits."),
    "no_such_domain": gettext_lazy("It may have been undefined or moved. Nothing was done."),
    "invalid_xml": gettext_lazy("Nothing was defined. Mend the XML where libvirt says, and try again."),
    "guest_did_not_stop": gettext_lazy(
        "The guest ignored the request: it may have no ACPI daemon, or ask somebody on its screen. "
        "Shut it down from inside, or force it off and lose what it had not written."
    ),
    "hypervisor_busy": gettext_lazy("Try again when what runs on it has ended."),
    "libvirt_down": gettext_lazy("Start libvirt on the host, and try again."),
    "not_supported": gettext_lazy("Another verb may reach the same end."),
    "xml_changed": gettext_lazy(
        "Nothing was changed. Read it again, and repeat your change on what is there."
    ),
    "internal_error": gettext_lazy("The host's libvirt log says more. Try again once the cause is mended."),
    "stopped_by_failure": gettext_lazy("Mend what failed before it, and ask for the rest again."),
    "not_all_succeeded": gettext_lazy("The parts below say which, and why."),
}
ADVICE_BY_STATE: Final[Mapping[str, str | Promise]] = {
    "failed": gettext_lazy("What was there before is kept. Try again once the cause is mended."),
    "expired": gettext_lazy("See that its host is online, and ask for it again."),
    "unknown": gettext_lazy(
        "It may or may not have taken effect, and is not repeated by itself. Look at the target, then decide."
    ),
    "cancelled": gettext_lazy("It can be asked for again at any time."),
}
TONES: Final[Mapping[str, str]] = {
    "succeeded": "good",
    "failed": "bad",
    "expired": "bad",
    # That nobody knows how it ended is a warning; of a host it is no news.
    "unknown": "warn",
    "cancelled": "calm",
}
MILLI, MINUTE = 1000, 60


@register.simple_tag
def operation_state(operation: Operation) -> SafeString:
    """The state of an operation; one that goes on is seen to."""
    tone = TONES.get(operation.state, "busy")
    return format_html(STATE, tone, operation.state, operation.get_state_display())


@register.simple_tag
def event_state(event: OperationEvent) -> SafeString:
    """The state that an operation reached by a move, which is over."""
    return format_html(STATE, TONES.get(event.state, "calm"), event.state, event.get_state_display())


@register.filter
def operation_name(operation: Operation) -> str:
    """What an operation does, to what."""
    if operation.target_type == TargetType.HOST:
        on = {"verb": verb_name(operation.verb), "host": operation.target_name}
        return _("%(verb)s a domain on %(host)s") % on
    return f"{verb_name(operation.verb)} {operation.target_name}"


@register.filter
def verb_name(verb: str) -> str:
    """What people call a verb of the journal."""
    return str(VERBS[verb].label) if verb in VERBS else {"define": _("Define")}.get(verb, verb)


@register.filter
def verb_doing(verb: str) -> str:
    """What is said while a verb is carried out."""
    return str(VERBS[verb].doing) if verb in VERBS else {"define": _("Defining…")}.get(verb, verb)


@register.filter
def verb_icon(verb: str) -> str:
    return VERBS[verb].icon if verb in VERBS else "file-plus"


@register.filter
def problem_text(operation: Operation) -> str:
    """What went wrong, in plain words: the meaning of a daemon's verdict, else what the server said of it."""
    problem = operation.problem or {}
    word, detail = str(problem.get("type", "")), str(problem.get("detail", ""))
    if word in VERDICTS:
        return str(VERDICTS[word])
    return detail or str(SENTENCES.get(word, word))


@register.filter
def problem_said(operation: Operation) -> str:
    """The daemon's own words, where they say more than the plain ones."""
    problem = operation.problem or {}
    return str(problem.get("detail", "")) if problem.get("type") in VERDICTS else ""


@register.filter
def advice(operation: Operation) -> str:
    """What to do about an operation that did not succeed."""
    word = str((operation.problem or {}).get("type", ""))
    return str(ADVICE.get(word) or ADVICE_BY_STATE.get(operation.state, ""))


@register.filter
def brief(seconds: float | None) -> str:
    """A span of seconds as precise as it is short: 12 ms, 3.4 s, 2 min 5 s."""
    if seconds is None:
        return "–"  # noqa: RUF001 -- a dash, as in all tables
    if seconds < 1:
        return f"{seconds * MILLI:.0f} ms"
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    return f"{int(seconds // MINUTE)} min {int(seconds % MINUTE)} s"


@register.filter
def since(moment: datetime, start: datetime) -> str:
    """How long after `start` it was."""
    return f"+{brief((moment - start).total_seconds())}"


@register.simple_tag(takes_context=True)
def open_operations(context: RequestContext) -> int:
    """How many operations have no verdict yet. The parts of a bulk one are not counted beside it."""
    user = getattr(context.get("request"), "user", None)
    seen = Operation.objects.visible_to(user) if user else Operation.objects.none()
    return seen.open().filter(parent=None).count()


@register.simple_tag
def verbs_of_journal() -> list[tuple[str, str]]:
    """Every verb that the journal knows, with its name."""
    return [(name, verb_name(name)) for name in (*VERBS, "define")]
