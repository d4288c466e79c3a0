from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from .choices import MOST_BYTES, MOST_COUNTED, Resource, Role, Scope, Target
from .models import Place
from .services import TOKEN_LIFE, Limits, explained_verbs, place_of

if TYPE_CHECKING:
    Base = UserCreationForm[User]
else:
    Base = UserCreationForm


class FirstAdministratorForm(Base):
    """Name and password (twice) of the first administrator; the password passes Django's validators."""

    class Meta:
        model = User
        fields = ("username",)


class UserForm(FirstAdministratorForm):
    """Of a new user, in the same way."""


class GroupForm(forms.Form):
    """Of a new group, or of one that has the name `initial`."""

    name = forms.CharField(label=_("Name"), max_length=150)

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name != self.initial.get("name") and Group.objects.filter(name=name).exists():
            raise ValidationError(_("There is a group of this name."))
        return name


class TargetForm(forms.Form):
    """What is meant: everything, or something by its name."""

    target = forms.ChoiceField(label=_("On"), choices=Target.choices)
    name = forms.CharField(
        label=_("Name"),
        max_length=255,
        required=False,
        help_text=_("Of the tag, the host or the domain, or its UUID. Leave it empty for everything."),
    )

    place: Place
    thing: Any = None

    def clean(self) -> dict[str, Any]:
        told: dict[str, Any] = super().clean() or {}
        if "target" in told and "name" in told:
            self.place, self.thing = place_of(told["target"], told["name"])
        return told


class GrantForm(TargetForm):
    """Of a grant to the user or the group whose page it is on."""

    role = forms.TypedChoiceField(label=_("Role"), choices=Role.choices, coerce=lambda text: Role(int(text)))

    field_order = ["role", "target", "name"]


GIB: Final = 2**30
# Limits, as fields of a form.
A_COUNT: Final[dict[str, Any]] = {"required": False, "min_value": 0, "max_value": MOST_COUNTED}
A_SIZE: Final[dict[str, Any]] = A_COUNT | {"max_value": MOST_BYTES // GIB, "decimal_places": 2}


def _in_gib(count: int | None) -> Decimal | None:
    """Bytes as the form shows them, to a hundredth."""
    return None if count is None else round(Decimal(count) / GIB, 2 if count % GIB else 0)


class QuotaForm(forms.Form):
    """Of the quota of the user or the group whose page it is on. What is typed in GiB is told in bytes."""

    domains = forms.IntegerField(label=Resource.DOMAINS.label, **A_COUNT)
    vcpus = forms.IntegerField(label=Resource.VCPUS.label, **A_COUNT)
    memory = forms.DecimalField(label=_("Memory in GiB"), **A_SIZE)
    disk = forms.DecimalField(label=_("Disk in GiB"), **A_SIZE)

    def __init__(self, limits: Limits, data: QueryDict | None = None) -> None:
        self.limits = limits
        shown = {str(one): _in_gib(limits[one]) if one.in_bytes else limits[one] for one in Resource}
        super().__init__(data, initial=shown)

    def clean_memory(self) -> int | None:
        return self._bytes(Resource.MEMORY)

    def clean_disk(self) -> int | None:
        return self._bytes(Resource.DISK)

    def _bytes(self, resource: Resource) -> int | None:
        """What was left as it was shown stays as it was set, to the byte."""
        if resource not in self.changed_data:
            return self.limits[resource]
        typed: Decimal | None = self.cleaned_data[resource]
        return None if typed is None else int(typed * GIB)


class QuestionForm(TargetForm):
    """Why may, or may not, this user do this to that?"""

    user = forms.ModelChoiceField(
        label=_("User"),
        queryset=User.objects.order_by("username"),
        to_field_name="username",
        widget=forms.TextInput,
        error_messages={"invalid_choice": _("There is no such user.")},
    )
    verb = forms.ChoiceField(
        label=_("Does"),
        choices=[(verb, verb.replace("_", " ")) for verb in explained_verbs(Target.EVERYTHING)],
    )
    target = forms.ChoiceField(
        label=_("To"), choices=[(one.value, one.label) for one in Target if one != Target.TAG]
    )
    name = forms.CharField(
        label=_("Name"),
        max_length=255,
        required=False,
        help_text=_("Of the host or the domain, or its UUID. Leave it empty for everything."),
    )

    field_order = ["user", "verb", "target", "name"]

    def clean(self) -> dict[str, Any]:
        told = super().clean()
        if {"target", "verb"} <= told.keys() and told["verb"] not in explained_verbs(told["target"]):
            raise ValidationError({"verb": _("That is not done to this.")})
        return told


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
