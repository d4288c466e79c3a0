import struct
from datetime import timedelta
from typing import TYPE_CHECKING

from allauth.account.adapter import get_adapter as get_account_adapter
from allauth.core import context
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base import forms as factors
from allauth.mfa.webauthn import forms as webauthn
from django import forms
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import User
from django.utils.translation import gettext_lazy as _

from . import guessing
from .choices import Scope
from .services import TOKEN_LIFE

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
    """Of a new token: its name, its scope, and how long it is good for."""

    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        help_text=_("The program or machine that will use it."),
    )
    scope = forms.ChoiceField(
        label=_("Scope"),
        choices=Scope.choices,
        initial=Scope.READ,
        help_text=_("It takes from what you may do, and adds nothing."),
    )
    expires_in = forms.TypedChoiceField(
        label=_("Good for"),
        choices=[(30, _("30 days")), (TOKEN_LIFE.days, _("90 days")), (365, _("one year"))],
        initial=TOKEN_LIFE.days,
        coerce=int,
    )

    def clean_expires_in(self) -> timedelta:
        return timedelta(days=self.cleaned_data["expires_in"])


if TYPE_CHECKING:
    FormBase = forms.Form
else:
    FormBase = object


class CredentialForm(FormBase):
    """What a browser says of a passkey may be anything: where its parser would fail, it is refused.

    allauth refuses what fido2 tells to be wrong, and lets pass what fido2 did not expect at all.
    """

    unexpected = (AttributeError, LookupError, TypeError, ValueError, RecursionError, struct.error)

    def full_clean(self) -> None:
        try:
            super().full_clean()
        except self.unexpected:
            self.cleaned_data = {}
            self.data = {name: text for name, text in self.data.items() if name != "credential"}
            self.add_error("credential", get_adapter().validation_error("incorrect_code"))


class AddPasskeyForm(CredentialForm, webauthn.AddWebAuthnForm):  # type: ignore[misc]  # allauth has no types
    pass


class SecondPasskeyForm(CredentialForm, webauthn.AuthenticateWebAuthnForm):  # type: ignore[misc]
    pass


class PasskeyLoginForm(CredentialForm, webauthn.LoginWebAuthnForm):  # type: ignore[misc]
    pass


class ConfirmByPasskeyForm(CredentialForm, webauthn.ReauthenticateWebAuthnForm):  # type: ignore[misc]
    pass


class CodeForm(FormBase):
    """A code of an authenticator app, or a recovery code. Guessing it is limited."""

    user: User

    def clean_code(self) -> str:
        take_back = guessing.count(context.request, f"code of {self.user.pk}", password_known=True)
        if take_back is None:
            raise get_account_adapter().validation_error("too_many_login_attempts")
        code: str = super().clean_code()  # type: ignore[misc]  # of the form this is mixed into
        take_back()
        return code


class SecondCodeForm(CodeForm, factors.AuthenticateForm):  # type: ignore[misc]
    pass


class ConfirmByCodeForm(CodeForm, factors.ReauthenticateForm):  # type: ignore[misc]
    pass
