"""What a person fills in about hosts and join keys. Whether it is allowed, the services say."""

from datetime import timedelta

from django import forms
from django.utils.translation import gettext_lazy as _

from .choices import DAEMON_PORT, LONGEST_LABEL, MAX_PORT, MAX_USES, Approval
from .errors import HostsError

HOUR, DAY = 3600, 86400
LIVES = [
    (HOUR, _("1 hour")),
    (DAY, _("24 hours")),
    (7 * DAY, _("7 days")),
    (30 * DAY, _("30 days")),
]


def refuse(form: forms.Form, error: HostsError) -> None:
    """Show why at the field that is wrong, if it is one of the form's."""
    field = getattr(error, "field", None)
    form.add_error(field if field in form.fields else None, str(error))


class HostForm(forms.Form):
    """A daemon at an address, without waiting for a crawl."""

    address = forms.GenericIPAddressField(
        label=_("IP address"),
        help_text=_("It must lie in an enabled range: nothing else is ever dialled."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "placeholder": "192.0.2.7"}),
    )
    port = forms.IntegerField(
        label=_("Port"),
        min_value=1,
        max_value=MAX_PORT,
        initial=DAEMON_PORT,
    )


class CodeInput(forms.PasswordInput):
    """Shows what is typed, and is never sent back with it."""

    input_type = "text"


class AdoptForm(forms.Form):
    """The code that a person read on the host."""

    code = forms.CharField(
        label=_("Code"),
        max_length=50,
        help_text=_("Ten letters and digits; case, spaces and hyphens do not matter."),
        widget=CodeInput(attrs={"autocomplete": "off", "spellcheck": "false", "placeholder": "ABCDE-12345"}),
    )


class JoinKeyForm(forms.Form):
    """A key by which new hosts join."""

    label = forms.CharField(
        label=_("Name"),
        max_length=LONGEST_LABEL,
        required=False,
        help_text=_("What it is for, such as “rack 4”."),
    )
    expires_in = forms.TypedChoiceField(
        label=_("Good for"),
        choices=LIVES,
        coerce=int,
        initial=DAY,
    )
    max_uses = forms.IntegerField(
        label=_("Hosts that may join by it"),
        min_value=1,
        max_value=MAX_USES,
        required=False,
        help_text=_("Empty: any number."),
    )
    cidrs = forms.CharField(
        label=_("Networks it may be used from"),
        required=False,
        max_length=5000,
        help_text=_("CIDR blocks, one a line. Empty: any network."),
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    approve = forms.ChoiceField(
        label=_("A host that proves it is owned"),
        choices=Approval.choices,
        initial=Approval.AUTO,
    )

    def clean_expires_in(self) -> timedelta:
        return timedelta(seconds=self.cleaned_data["expires_in"])

    def clean_cidrs(self) -> list[str]:
        return str(self.cleaned_data["cidrs"]).replace(",", " ").split()
