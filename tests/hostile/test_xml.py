"""XML injection and XXE: a text stays a text in a domain's XML, and XML that names a file does not read it.

From the server's API to the real daemon, on libvirt's test driver.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from access.choices import Role
from access.services import create_token
from domains.models import Domain
from hosts.models import Host, Operation
from tests.access.granting import granted
from tests.contract.conftest import join, machine, meet, run, server
from tests.contract.machines import Machine, Running
from tests.domains.factories import domain, owned_host

from .conftest import Watch

pytestmark = [pytest.mark.attack("XML"), pytest.mark.django_db(transaction=True)]
__all__ = ["join", "machine", "run", "server"]

WAIT: Final = {"Prefer": "wait=20"}
NOWHERE: Final = "http://127.0.0.1:1/"
CANARY: Final = "canary-of-a-private-file"
TEXTS: Final = [
    "</title><os><type>exe</type></os><title>",
    "</description><devices/><description>",
    "]]><x/>",
    "<![CDATA[<x/>]]>",
    "&lt;x/&gt;",
    "&#60;x/&#62;",
    "&xxe;",
    "<!-- -->",
    "--><x/><!--",
    "<?xml version='1.0'?>",
    "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>",
    "\" onclick='x' <a b=\"",
    "' or '1'='1",
    "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'",
    "<qemu:commandline><qemu:arg value='-s'/></qemu:commandline>",
    "{http://libvirt.org/schemas/domain/qemu/1.0}commandline",
    "%s %(x)s {0} ${x} \\u003c",
    "\U0001f0a1 \u00e9 \u4e2d",
]


@pytest.fixture
def daemon(run: Callable[..., Running], machine: Machine) -> Running:
    running = run(machine)
    meet(running)
    return running


def definition(api: APIClient, domain: Domain) -> ET.Element:
    answer = api.get(f"/api/domains/{domain.pk}/xml/?which=inactive")
    assert answer.status_code == 200, answer.content
    return ET.fromstring(answer.content.decode())  # noqa: S314 -- the test driver's own


def shape(element: ET.Element) -> list[Any]:
    """Its elements and attributes, without the texts."""
    return [element.tag, sorted(element.attrib), [shape(child) for child in element]]


def test_a_text_stays_a_text(
    api: APIClient, daemon: Running, record_property: Callable[[str, object], None]
) -> None:
    """In title, description and tags, all at once; the rest of the XML is as it was."""
    record_property("tried", 3 * len(TEXTS))
    domain = Domain.objects.get()
    path, kept = f"/api/domains/{domain.pk}/", None
    for text in TEXTS:
        body = {"title": text, "description": f"{text}\n{text}", "tags": [text[:64]]}
        answer = api.patch(path, body, format="json", headers=WAIT)
        assert (answer.status_code, answer.json()["state"]) == (200, "succeeded"), (text, answer.json())
        xml = definition(api, domain)
        assert (xml.findtext("title"), xml.findtext("description")) == (text, f"{text}\n{text}")
        kept = kept or shape(xml)
        assert shape(xml) == kept, text
        domain.refresh_from_db()
        assert (domain.title, domain.tags) == (text, [text[:64]])


def document(inside: str, *, before: str = "", name: str = "evil") -> str:
    head = f"<domain type='test'><name>{name}</name><memory>1024</memory><os><type>hvm</type></os>"
    return f"{before}{head}{inside}</domain>"


def external(canary: Path) -> dict[str, str]:
    """XML that makes its reader read something else, or too much."""
    uri = canary.as_uri()
    nested = "".join(f"<!ENTITY e{n} '{f'&e{n - 1};' * 10}'>" for n in range(1, 10))
    title = "<title>&e;</title>"
    return {
        "a file": document(title, before=f"<!DOCTYPE domain [<!ENTITY e SYSTEM '{uri}'>]>"),
        "a public file": document(title, before=f"<!DOCTYPE domain [<!ENTITY e PUBLIC 'x' '{uri}'>]>"),
        "the network": document(title, before=f"<!DOCTYPE domain [<!ENTITY e SYSTEM '{NOWHERE}'>]>"),
        "a parameter": document("", before=f"<!DOCTYPE domain [<!ENTITY % p SYSTEM '{uri}'> %p;]>"),
        "a DTD elsewhere": document("", before=f"<!DOCTYPE domain SYSTEM '{uri}'>"),
        "a DTD on the network": document("", before=f"<!DOCTYPE domain SYSTEM '{NOWHERE}'>"),
        "an entity of its own": document(title, before="<!DOCTYPE domain [<!ENTITY e 'x'>]>"),
        "a billion laughs": document(
            "<title>&e9;</title>", before=f"<!DOCTYPE domain [<!ENTITY e0 'ha'>{nested}]>"
        ),
        "quadratic": document(
            f"<title>{'&e;' * 5000}</title>", before=f"<!DOCTYPE domain [<!ENTITY e '{'x' * 50_000}'>]>"
        ),
        "a default attribute": document("", before="<!DOCTYPE domain [<!ATTLIST domain id CDATA '1'>]>"),
        "an empty DTD": document("", before="<!DOCTYPE domain>"),
        "a DTD in another case": document("", before="<!doctype domain>"),
        "an unknown entity": document(title),
        "depth": document("<a>" * 5000 + "</a>" * 5000),
        "two roots": document("") + document(""),
        "another root": "<network><name>evil</name></network>",
        "a zero byte": document("<title>\x00</title>"),
        "a lone surrogate": document("<title>&#xd800;</title>"),
    }


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    path = tmp_path / "canary"
    path.write_text(CANARY)
    return path


def test_what_makes_its_reader_read_more_is_refused(
    api: APIClient, daemon: Running, canary: Path, record_property: Callable[[str, object], None]
) -> None:
    url = f"/api/hosts/{Host.objects.get().pk}/domains/"
    attempts = external(canary)
    record_property("tried", len(attempts))
    for name, xml in attempts.items():
        with Watch() as watch:
            answer = api.post(url, {"xml": xml}, format="json", headers=WAIT)
        told = answer.json()
        refused = answer.status_code == 400 or told["problem"]["type"] in {"invalid_xml", "xml_error"}
        assert refused, (name, told)
        assert CANARY not in answer.content.decode(), name
        assert ("127.0.0.1", 1) not in watch.peers, name
    assert Domain.objects.get().name == "test"


def test_an_inclusion_is_not_followed(api: APIClient, daemon: Running, canary: Path) -> None:
    """XInclude and style sheets are for other readers: here they are elements that libvirt does not know."""
    space = "xmlns:xi='http://www.w3.org/2001/XInclude'"
    include = f"<xi:include {space} href='{canary.as_uri()}' parse='text'/>"
    sheet = f"<?xml-stylesheet href='{canary.as_uri()}'?>"
    url = f"/api/hosts/{Host.objects.get().pk}/domains/"
    inside, before = document(f"<title>{include}</title>", name="a"), document("", before=sheet)
    for number, xml in enumerate([inside, before]):
        api.post(url, {"xml": xml}, format="json", headers=WAIT)
        for found in Domain.objects.all():
            assert CANARY not in api.get(f"/api/domains/{found.pk}/xml/").content.decode(), number


QEMU: Final = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"
# What gives whoever defines it the host: a program, a file, a device or a command line.
DANGEROUS: Final = {
    "a command line": f"<qemu:commandline {QEMU}><qemu:arg value='-drive'/></qemu:commandline>",
    "another emulator": "<devices><emulator>/tmp/evil</emulator></devices>",
    "a loader": "<os><type>hvm</type><loader>/tmp/evil</loader></os>",
    "an nvram template": "<os><type>hvm</type><nvram template='/etc/shadow'>/tmp/nvram</nvram></os>",
    "a kernel": "<os><type>hvm</type><kernel>/etc/shadow</kernel></os>",
    "a disk of a host's file": "<devices><disk type='file'><source file='/etc/shadow'/></disk></devices>",
    "a disk of a host's device": "<devices><disk type='block'><source dev='/dev/sda'/></disk></devices>",
    "a folder of the host": "<devices><filesystem><source dir='/'/></filesystem></devices>",
    "a serial line into a file": "<devices><serial type='file'><source path='/etc/x'/></serial></devices>",
    "a script": "<devices><interface type='ethernet'><script path='/tmp/x'/></interface></devices>",
    "a device of the host": "<devices><hostdev mode='subsystem' type='usb'/></devices>",
    "nothing of all that": "",
}


def program_of(user: User, scope: str) -> APIClient:
    _, token = create_token(user=user, name="x", scope=scope)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client


def weaker_callers(ada: User, sam: User, host: Host) -> Iterator[APIClient]:
    """Everybody who is less than an administrator of this host; the last is one, by a lesser token."""
    guest = domain(host)
    yield program_of(sam, "administer")
    for role, on in (
        *((Role.VIEWER, None), (Role.OPERATOR, None), (Role.VIEWER, host), (Role.OPERATOR, host)),
        *((Role.ADMINISTRATOR, guest), (Role.ADMINISTRATOR, owned_host())),
    ):
        grant = granted(sam, role, on)
        yield program_of(sam, "administer")
        grant.delete()
    yield program_of(ada, "operate")
    yield program_of(ada, "read")


def test_who_is_no_administrator_defines_nothing(
    ada: User, sam: User, record_property: Callable[[str, object], None]
) -> None:
    """XML is a host's own root access: no lesser grant leads to it, whatever the XML holds."""
    tried, host = 0, owned_host()
    for client in weaker_callers(ada, sam, host):
        for what, inside in DANGEROUS.items():
            body = {"xml": document(inside)}
            answer = client.post(f"/api/hosts/{host.pk}/domains/", body, format="json")
            assert answer.status_code in {403, 404}, what
            tried += 1
    record_property("tried", tried)
    assert not Operation.objects.exists()


@pytest.fixture(autouse=True)
def without_canary(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever was tried, the private file has reached no row of the journal."""
    yield
    for operation in Operation.objects.all():
        assert CANARY not in f"{operation.result}{operation.problem}"
