"""The cells of a row of domains. A page has a hundred: a tag costs less than the nodes it stands for."""

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from domains.choices import DomainState
from domains.models import Domain
from domains.pages.rows import Row

from .interface import age, icon, state

register = template.Library()

PICK = '<input class="form-check-input" type="checkbox" form="bulk" name="ids" value="{}" aria-label="{} {}">'
BUTTON = (
    '<button class="icon-button" form="verbs" formaction="{}verbs/{}/" title="{}">{}'
    '<span class="visually-hidden">{} {}</span></button>'
)
MENU = (
    '<a class="icon-button" href="{}verbs/" data-menu title="{}">{}'
    '<span class="visually-hidden">{} {}</span></a>'
)


@register.simple_tag
def domain_state(domain: Domain) -> SafeString:
    """The state of a domain; of one whose host does not tell it, the last one known and its age."""
    if domain.missing_since:
        return format_html(
            '{}<span class="under">{} {}</span>',
            state("unknown", _("Missing")),
            _("since"),
            age(domain.missing_since),
        )
    if domain.stale:
        was = _("was %(state)s") % {"state": _label(domain).lower()}
        return format_html(
            '{}<span class="under">{} {}</span>',
            state("unknown", _("Unknown")),
            was,
            age(domain.host.listed_at),
        )
    return state(domain.state, _label(domain))


def _label(domain: Domain) -> str:
    # `get_state_display` makes a dictionary of all states and their names for each row.
    return str(DomainState(domain.state).label)


@register.simple_tag
def pick_box(domain: Domain) -> SafeString:
    """The box that selects a row."""
    return format_html(PICK, domain.pk, _("Select"), domain.name)


@register.simple_tag
def row_verbs(row: Row) -> SafeString:
    """The likely verbs as buttons, and the way to all others."""
    name, more = row.domain.name, _("More")
    verbs = [(verb.name, str(verb.label), icon(verb.icon)) for verb in row.verbs]
    buttons = [(row.at, verb, label, picture, label, name) for verb, label, picture in verbs]
    menu = format_html(MENU, row.at, more, icon("dots-vertical"), more, name)
    return format_html("{}{}", format_html_join("", BUTTON, buttons), menu)
