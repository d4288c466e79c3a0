from datetime import timedelta
from typing import TYPE_CHECKING

from django import forms
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import User
from django.utils.translation import gettext_lazy as _

DAY = 86400

if TYPE_CHECKING:
    Base = UserCreationForm[User]
else:
    Base = UserCreationForm


class FirstAdministratorForm(Base):
    """Name and password (twice) of the first administrator; the password passes Django's validators."""

    class Meta:
        model = User
        fields = ("username",)


class TokenForm(forms.Form):
    """A name, and how long the token is good for: None is until it is deleted."""

    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        help_text=_("The program or machine that will use it."),
    )
    expires_in = forms.TypedChoiceField(
        label=_("Good for"),
        choices=[(30 * DAY, _("30 days")), (365 * DAY, _("one year")), (0, _("until it is deleted"))],
        coerce=int,
    )

    def clean_expires_in(self) -> timedelta | None:
        seconds = self.cleaned_data["expires_in"]
        return timedelta(seconds=seconds) if seconds else None
