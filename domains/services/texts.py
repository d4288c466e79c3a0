"""What a text about a domain may hold, whoever sends it: validators, for serializers and forms alike."""

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from hosts.untrusted import clean, clean_paragraphs

from ..choices import LONGEST_XML


def one_line(text: str) -> None:
    """Refuse what is no plain line of text: XML cannot hold it, or it would mislead who reads it."""
    if clean(text, len(text)) != text:
        raise ValidationError(_("Control characters are not allowed."))


def paragraphs(text: str) -> None:
    """As `one_line`, but lines stay lines."""
    if clean_paragraphs(text, len(text)) != text:
        raise ValidationError(_("Control characters are not allowed."))


def xml_of_a_size(text: str) -> None:
    """Refuse more than a daemon takes: it counts bytes, of which a letter may have four."""
    if len(text.encode()) > LONGEST_XML:
        raise ValidationError(_("At most %(most)d KiB of XML.") % {"most": LONGEST_XML // 1024})
