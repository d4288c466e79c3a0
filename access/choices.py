"""The words of access."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Scope(TextChoices):
    """What a program may do with a token; each may do what those before it may."""

    READ = "read", _("Read")
    OPERATE = "operate", _("Operate")
    ADMINISTER = "administer", _("Administer")
