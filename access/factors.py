"""The forms of second factors: allauth's, with what they leave open refused and counted. (MFA_FORMS.)"""

import struct
from typing import TYPE_CHECKING

from allauth.account.adapter import get_adapter as get_account_adapter
from allauth.core import context
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base import forms as base
from allauth.mfa.webauthn import forms as webauthn
from django.contrib.auth.models import User

from . import guessing

if TYPE_CHECKING:
    from django.forms import Form as Base
else:
    Base = object


class CredentialForm(Base):
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


class SecondPasskeyForm(CredentialForm, webauthn.AuthenticateWebAuthnForm):  # type: ignore[misc]  # as above
    pass


class PasskeyLoginForm(CredentialForm, webauthn.LoginWebAuthnForm):  # type: ignore[misc]  # as above
    pass


class ConfirmByPasskeyForm(CredentialForm, webauthn.ReauthenticateWebAuthnForm):  # type: ignore[misc]  # as above
    pass


class CodeForm(Base):
    """A code of an authenticator app, or a recovery code. Guessing it is limited."""

    user: User

    def clean_code(self) -> str:
        take_back = guessing.count(context.request, f"code of {self.user.pk}", password_known=True)
        if take_back is None:
            raise get_account_adapter().validation_error("too_many_login_attempts")
        code: str = super().clean_code()  # type: ignore[misc]  # of the form this is mixed into
        take_back()
        return code


class SecondCodeForm(CodeForm, base.AuthenticateForm):  # type: ignore[misc]  # as above
    pass


class ConfirmByCodeForm(CodeForm, base.ReauthenticateForm):  # type: ignore[misc]  # as above
    pass
