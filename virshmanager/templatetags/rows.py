"""A row of domains. A page has a hundred, so it is one tag: it costs less than the nodes it stands for."""

from typing import Final

from django import template
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from domains.choices import DomainState
from domains.models import Domain
from domains.pages.rows import Row
from hosts.choices import OperationState

from .charts import sparkline
from .filling import fill, fill_each
from .interface import age, icon, size, state, tag_query
from .journal import verb_doing, verb_name

register = template.Library()

ROW: Final = """<tr id="domain-{}" data-live="{}" hx-get="{}row/{}" hx-trigger="refresh" hx-swap="outerHTML">
{}
<td><a class="name" href="{}">{}</a>{}{}{}</td>
<td>{}{}{}</td>
{}
<td class="number wide">{}</td>
<td class="number wide">{}</td>
<td class="wide">{}</td>
<td class="wide quiet">{}</td>
<td class="verbs">{}</td>
</tr>"""
PICK: Final = (
    '<td class="pick"><label><input class="form-check-input" type="checkbox" form="bulk" name="ids" '
    'value="{}" aria-label="{} {}"></label></td>'
)
TAG: Final = ' <a class="tag wide" href="{}?{}">{}</a>'
TITLE: Final = '<span class="under">{}</span>'
ON: Final = ' <span class="under phone-only">{}</span>'
DOING: Final = '<a class="doing" href="{}">{}</a> '
TROUBLE: Final = ' <a class="trouble" href="{}">{}{}: {}</a>'
HOST: Final = '<td class="wide"><a class="quiet" href="{}">{}</a></td>'
HOST_NAME: Final = '<td class="wide quiet">{}</td>'
BUTTON: Final = (
    '<button class="icon-button" form="verbs" formaction="{}verbs/{}/" title="{}">{}'
    '<span class="visually-hidden">{} {}</span></button>'
)
MENU: Final = (
    '<a class="icon-button" href="{}verbs/" data-menu title="{}">{}'
    '<span class="visually-hidden">{} {}</span></a>'
)


@register.simple_tag
def domain_row(row: Row, without_host: bool = False) -> SafeString:  # noqa: FBT001, FBT002 -- a tag's argument
    """A row of a table of domains; `without_host` as the table of a host's page has it."""
    domain = row.domain
    return fill(
        ROW,
        domain.pk,
        row.live,
        row.at,
        "?on-host" if without_host else "",
        "" if without_host else fill(PICK, domain.pk, _("Select"), domain.name),
        row.at,
        domain.name,
        _tags(domain),
        fill(TITLE, domain.title) if domain.title else "",
        "" if without_host else fill(ON, domain.host),
        _doing(row),
        domain_state(domain),
        _trouble(row),
        "" if without_host else _host(row),
        domain.vcpus,
        size(domain.memory),
        sparkline(row.cpu),
        icon("check") if domain.autostart else "",
        _verbs(row),
    )


def _host(row: Row) -> SafeString:
    """Its host, with the way there for who may see that."""
    host = row.domain.host
    return fill(HOST, row.host_at, host) if row.host_at else fill(HOST_NAME, host)


def _tags(domain: Domain) -> SafeString | str:
    """Its tags, each with the way to all domains that have it."""
    if not domain.tags:
        return ""
    at = reverse("domains")
    return fill_each(TAG, ((at, tag_query(tag), tag) for tag in domain.tags))


def _doing(row: Row) -> SafeString | str:
    """The operation that goes on."""
    if not row.pending:
        return ""
    return fill(DOING, reverse("operation", args=[row.pending.pk]), verb_doing(row.pending.verb))


def _trouble(row: Row) -> SafeString | str:
    """The last operation, when it came to nothing."""
    if not row.failed:
        return ""
    at, verb = reverse("operation", args=[row.failed.pk]), verb_name(row.failed.verb)
    verdict = str(OperationState(row.failed.state).label).lower()
    return fill(TROUBLE, at, icon("alert-triangle"), verb, verdict)


@register.simple_tag
def domain_state(domain: Domain) -> SafeString:
    """The state of a domain; of one whose host does not tell it, the last one known and its age."""
    if domain.missing_since:
        return fill(
            '{} <span class="under">{} {}</span>',
            state("unknown", _("Missing")),
            _("since"),
            age(domain.missing_since),
        )
    if domain.stale:
        was = _("was %(state)s") % {"state": _label(domain).lower()}
        return fill(
            '{} <span class="under">{} {}</span>',
            state("unknown", _("Unknown")),
            was,
            age(domain.host.listed_at),
        )
    return state(domain.state, _label(domain))


def _label(domain: Domain) -> str:
    # `get_state_display` makes a dictionary of all states and their names for each row.
    return str(DomainState(domain.state).label)


def _verbs(row: Row) -> SafeString:
    """The likely verbs as buttons, and the way to all others."""
    name, more = row.domain.name, _("More")
    verbs = [(verb.name, str(verb.label), icon(verb.icon)) for verb in row.verbs]
    buttons = [(row.at, verb, label, picture, label, name) for verb, label, picture in verbs]
    menu = fill(MENU, row.at, more, icon("dots-vertical"), more, name)
    return fill("{}{}", fill_each(BUTTON, buttons), menu)
