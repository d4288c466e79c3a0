"""XML text to an element tree, refusing what XML can do to its reader.

The text comes from libvirt, and through it from whoever defined the domain. A
document type declaration is refused outright: without one there are no
entities to expand and no external file to fetch. Size and depth are capped.
"""

from __future__ import annotations

from typing import Final
from xml.etree import ElementTree
from xml.parsers import expat

from virshmanagerd.errors import InvalidXML

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 100


def parse(text: str) -> ElementTree.Element:
    """The root element. Namespaced names read `{uri}local`.

    Raises InvalidXML for malformed, oversized or too deep text, and for any DTD.
    """
    # libvirt's text is already Unicode: what an XML declaration says of its encoding is past.
    data = text.encode("utf-8", "surrogatepass")
    if len(data) > MAX_BYTES:
        raise InvalidXML(f"the XML is larger than {MAX_BYTES} bytes")
    builder = _Builder()
    parser = expat.ParserCreate("utf-8", "}")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = builder.doctype
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise InvalidXML(f"the XML cannot be read: {error}") from None
    return builder.close()


class _Builder:
    def __init__(self) -> None:
        self._tree = ElementTree.TreeBuilder()
        self._depth = 0

    def doctype(self, *_declaration: object) -> None:
        raise InvalidXML("a document type declaration is not allowed")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise InvalidXML(f"elements are nested deeper than {MAX_DEPTH}")
        self._tree.start(_qualified(name), {_qualified(k): v for k, v in attributes.items()})

    def end(self, name: str) -> None:
        self._depth -= 1
        self._tree.end(_qualified(name))

    def text(self, data: str) -> None:
        self._tree.data(data)

    def close(self) -> ElementTree.Element:
        return self._tree.close()


def _qualified(name: str) -> str:
    return "{" + name if "}" in name else name
