from typing import TYPE_CHECKING

from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import User

Base = UserCreationForm[User] if TYPE_CHECKING else UserCreationForm


class FirstAdministratorForm(Base):
    """Name and password (twice) of the first administrator; the password passes Django's validators."""

    class Meta:
        model = User
        fields = ("username",)
