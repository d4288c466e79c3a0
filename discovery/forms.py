"""What a person fills in about a range. Whether it makes sense, the services say."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from hosts.choices import DAEMON_PORT, MAX_PORT

from .choices import (
    DEFAULT_MAX_RATE,
    DEFAULT_SCHEDULE,
    LONGEST_LABEL,
    LONGEST_PERIOD,
    MAX_RATE,
    SHORTEST_PERIOD,
    Phase,
)
from .models import Range


class RangeForm(forms.Form):
    """A CIDR block, how it is scanned, and what is left alone."""

    cidr = forms.CharField(
        label=_("Network (CIDR)"),
        max_length=49,
        help_text=_("For example 192.0.2.0/24: at most a /16 of IPv4 or a /112 of IPv6."),
    )
    label = forms.CharField(label=_("Name"), max_length=LONGEST_LABEL, required=False)
    port = forms.IntegerField(
        label=_("Port of the daemons"), min_value=1, max_value=MAX_PORT, initial=DAEMON_PORT, required=False
    )
    max_rate = forms.IntegerField(
        label=_("Packets per second"),
        min_value=1,
        max_value=MAX_RATE,
        initial=DEFAULT_MAX_RATE,
        required=False,
        help_text=_("The crawler sends no more than this. Empty: no limit."),
    )
    excluded = forms.CharField(
        label=_("Left alone"),
        required=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Addresses and CIDR blocks that never get a packet, one a line."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["cidr"].widget.attrs |= {
            "autocomplete": "off",
            "spellcheck": "false",
            "placeholder": "192.0.2.0/24",
        }

    def clean_excluded(self) -> list[str]:
        return str(self.cleaned_data["excluded"]).replace(",", " ").split()

    def clean_port(self) -> int:
        return int(self.cleaned_data["port"] or DAEMON_PORT)


class RangeEditForm(RangeForm):
    """An existing range: its block stays, its schedule and its switch may change."""

    enabled = forms.BooleanField(
        label=_("Enabled: it is crawled on schedule, and its hosts are dialled"), required=False
    )

    def __init__(self, *args: Any, range: Range, **kwargs: Any) -> None:  # noqa: A002 -- the model's word
        initial = {name: getattr(range, name) for name in ("label", "port", "max_rate", "enabled")}
        initial["excluded"] = "\n".join(range.excluded)
        initial |= {f"every_{phase}": range.schedule.get(phase) for phase in Phase.values}
        super().__init__(*args, initial=initial, **kwargs)
        del self.fields["cidr"]
        for phase in Phase:
            self.fields[f"every_{phase}"] = forms.IntegerField(
                label=_("Seconds between crawls: %(phase)s") % {"phase": phase.label},
                min_value=SHORTEST_PERIOD,
                max_value=LONGEST_PERIOD,
                required=False,
                help_text=_("Empty: never by itself. Usual: %(seconds)s.")
                % {"seconds": DEFAULT_SCHEDULE[phase]},
            )

    def changes(self) -> dict[str, Any]:
        """The fields of a range, as the services take them."""
        data = dict(self.cleaned_data)
        data["schedule"] = {phase: data.pop(f"every_{phase}") for phase in Phase.values}
        return data
