"""What a person fills in about domains. Whether it is allowed, the services say."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from .choices import LONGEST_DESCRIPTION, LONGEST_TAG, LONGEST_TITLE, MOST_TAGS
from .models import Domain
from .services import LONGEST_STAGGER, one_line, paragraphs, xml_of_a_size

ORDERS = [
    ("given", _("as they are listed")),
    ("name", _("by name, from A")),
    ("-name", _("by name, from Z")),
    ("host", _("by host, then by name")),
]


class MetadataForm(forms.Form):
    """The texts of a domain, in the metadata of its libvirt."""

    title = forms.CharField(label=_("Title"), max_length=LONGEST_TITLE, required=False, validators=[one_line])
    description = forms.CharField(
        label=_("Description"),
        max_length=LONGEST_DESCRIPTION,
        required=False,
        widget=forms.Textarea(attrs={"rows": 5}),
    )
    tags = forms.CharField(
        label=_("Tags"),
        max_length=MOST_TAGS * (LONGEST_TAG + 2),
        required=False,
        help_text=_("Separated by commas, such as “web, production”."),
    )

    def __init__(self, data: Any = None, *, domain: Domain) -> None:
        known = {
            "title": domain.title,
            "description": domain.description,
            "tags": ", ".join(map(str, domain.tags)),
        }
        super().__init__(data, initial=known)
        self.known = {"title": domain.title, "description": domain.description, "tags": domain.tags}

    def clean_tags(self) -> list[str]:
        tags = list(dict.fromkeys(filter(None, map(str.strip, self.cleaned_data["tags"].split(",")))))
        if len(tags) > MOST_TAGS:
            raise ValidationError(_("At most %(most)s tags."), params={"most": MOST_TAGS})
        if any(len(tag) > LONGEST_TAG for tag in tags):
            raise ValidationError(_("A tag has at most %(most)s characters."), params={"most": LONGEST_TAG})
        for tag in tags:
            one_line(tag)
        return tags

    def clean_description(self) -> str:
        description = str(self.cleaned_data["description"]).replace("\r\n", "\n")
        paragraphs(description)
        return description

    def changes(self) -> dict[str, Any]:
        """The fields that differ from what is known; the others are left alone on the host."""
        # By what was typed, too: a tag with a comma in it is two when it is read again.
        typed = [(name, self.cleaned_data[name]) for name in self.changed_data]
        return {name: value for name, value in typed if value != self.known[name]}


class BulkForm(forms.Form):
    """How one verb is carried out on many domains."""

    order = forms.ChoiceField(label=_("Order"), choices=ORDERS, initial="given")
    stagger = forms.IntegerField(
        label=_("Seconds between two"),
        min_value=0,
        max_value=LONGEST_STAGGER,
        initial=0,
        help_text=_("0: as fast as their hosts take them."),
    )
    stop_on_failure = forms.BooleanField(
        label=_("One after another, and stop when one does not succeed"), required=False
    )


class DefineForm(forms.Form):
    """A domain's XML, as libvirt documents it."""

    xml = forms.CharField(
        label=_("Domain XML"),
        strip=False,
        validators=[xml_of_a_size],
        help_text=_("As “virsh dumpxml --inactive” prints it. What libvirt does not know, it refuses."),
        widget=forms.Textarea(attrs={"rows": 18, "spellcheck": "false", "autocapitalize": "off"}),
    )
    key = forms.CharField(max_length=64, required=False, widget=forms.HiddenInput)

    def refuse(self, problem: Mapping[str, Any]) -> None:
        """Show the host's own words at the field. What is sent next is another request."""
        self.add_error("xml", str(problem.get("detail") or problem.get("type", "")))
        self.data = dict(self.data.items()) | {"key": str(uuid4())}
