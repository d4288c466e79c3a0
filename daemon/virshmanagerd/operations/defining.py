"""The XML of a define: which domain it is, and whether another text says the same."""

from __future__ import annotations

import uuid as uuids
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from virshmanagerd import domainxml
from virshmanagerd.errors import InvalidXML

if TYPE_CHECKING:
    from virshmanagerd.journal import Entry

MIB: Final = 1024 * 1024


@dataclass(frozen=True)
class Definition:
    """A domain's XML with the domain's UUID in it."""

    uuid: str
    xml: str

    @classmethod
    def of(cls, entry: Entry) -> Definition:
        """What an operation defines. XML without a UUID gets one that is always the same for this operation.

        Raises InvalidXML.
        """
        text = entry.args["xml"]
        root = domainxml.parse(text)
        written = (root.findtext("uuid") or "").strip()
        if not written:
            name = str(uuids.uuid5(uuids.UUID(entry.id), "domain"))
            return cls(name, _with_uuid(root, name))
        try:
            return cls(str(uuids.UUID(written)), text)
        except ValueError:
            raise InvalidXML("the domain's uuid is no UUID") from None

    def agrees(self, found: str) -> bool:
        """Whether libvirt's text says what this one says, as far as a person sees: libvirt adds much.

        Raises InvalidXML.
        """
        ours, theirs = _says(domainxml.parse(self.xml)), _says(domainxml.parse(found))
        return all(theirs[name] == value for name, value in ours.items() if value is not None)


def _says(domain: ET.Element) -> dict[str, object]:
    summary = domainxml.summary(domain)
    memory = summary["max_memory"]
    disks = domainxml.details(domain)["disks"]
    return {
        "name": (domain.findtext("name") or "").strip(),
        "title": summary["title"] or "",
        "description": summary["description"] or "",
        "tags": summary["tags"],
        "vcpus": summary["vcpus"],
        "memory": None if memory is None else -(-memory // MIB),  # libvirt rounds it up
        "disks": sorted((disk["target"] or "", disk["source"] or "") for disk in disks),
    }


def _with_uuid(domain: ET.Element, uuid: str) -> str:
    for empty in domain.findall("uuid"):
        domain.remove(empty)
    ET.SubElement(domain, "uuid").text = uuid
    return ET.tostring(domain, encoding="unicode")
