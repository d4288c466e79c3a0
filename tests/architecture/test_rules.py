"""Rules of our own about the code: what breaks one is noticed, and nothing here does."""

import re
from pathlib import Path
from typing import Final

import pytest
from django.conf import settings

from .rules import RULES, Rule, offences, offenders

ROOT: Final[Path] = settings.BASE_DIR
CODE: Final = (
    *("virshmanager", "access", "hosts", "discovery", "domains", "simulator"),
    *("daemon/virshmanagerd", "benchmarks"),
)
# A template may put text in as it is only where Python made it, and there `format_html` says so.
UNESCAPED: Final = re.compile(r"\|\s*safe\b|\|\s*safeseq\b|autoescape\s+off")

PLANTED: Final = {
    "no verification is turned off": [
        "requests.get(url, verify=False)",
        "session.verify = False",
        "context.check_hostname = False",
        "context.verify_mode = ssl.CERT_NONE",
        "from ssl import CERT_NONE\ncontext.verify_mode = CERT_NONE",
        "ssl._create_unverified_context()",
        "urllib3.disable_warnings()",
    ],
    "who verifies nothing identifies, enrols, recovers or tests a connection": [
        "context = stranger_context()",
        "client.stranger_context()",
    ],
    "no markup is put together from texts": [
        "f'<name>{name}</name>'",
        "'<title>%s</title>' % title",
        "'<title>' + title + '</title>'",
        "'<tag>{}</tag>'.format(tag)",
        "f\"<disk file='{path}'/>\"",
        "'</tag><tag>'.join(tags)",
    ],
    "no shell is started": [
        "subprocess.run(command, shell=True)",
        "subprocess.Popen(command, shell=wanted)",
        "os.system(command)",
        "os.popen(command)",
        "subprocess.getoutput(command)",
        "await asyncio.create_subprocess_shell(command)",
    ],
    "XML of others is read by safexml alone": [
        "ET.fromstring(text)",
        "ElementTree.parse(path)",
        "xml.etree.ElementTree.XML(text)",
        "minidom.parseString(text)",
        "xml.parsers.expat.ParserCreate()",
        "lxml.etree.fromstring(text)",
    ],
    "nothing that was read is run": ["eval(text)", "exec(text)", "pickle.loads(data)", "yaml.load(text)"],
    "no guest agent is asked": [
        "libvirt_qemu.qemuAgentCommand(domain, command, 5, 0)",
        "_domain(session, uuid).fsInfo()",
        "ask = domain.guestInfo",
        "domain.hostname()",
        "domain.shutdown()",
        "domain.getTime()",
        "domain.setUserPassword(user, password)",
        "domain.reboot(libvirt.VIR_DOMAIN_REBOOT_GUEST_AGENT)",
        "sources = (libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT,)",
        "domain.vcpusFlags(libvirt.VIR_DOMAIN_VCPU_GUEST)",
        "flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE",
        "from libvirt import VIR_DOMAIN_SHUTDOWN_GUEST_AGENT as AGENT\ndomain.shutdownFlags(AGENT)",
    ],
}
HARMLESS: Final = [
    "requests.get(url, verify=True)",
    "context.check_hostname = True",
    "format_html('<b>{}</b>', name)",
    "'<b>' '</b>'",
    "f'{low} < {high}'",
    "path('hosts/<int:pk>/' , view)",
    "subprocess.run(command, shell=False)",
    "ET.SubElement(root, 'tag').text = tag",
    "safexml.parse(text)",
    "urllib.parse.urlsplit(text)",
    "sock.shutdown(socket.SHUT_WR)",
    "pool.shutdown(wait=False)",
    "domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)",
    "known = urlsplit(url).hostname",
    "heard = libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE",
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_rule_notices_who_breaks_it(rule: Rule) -> None:
    for source in PLANTED[rule.name]:
        assert list(
            offences(rule, f"async def planted():\n    {source.replace(chr(10), chr(10) + '    ')}")
        ), source
    for source in HARMLESS:
        assert not list(offences(rule, source)), source


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_house_keeps_it_but_for_the_exceptions_that_are_written_down(rule: Rule) -> None:
    assert {*offenders(rule, ROOT, CODE)} == rule.allowed, offenders(rule, ROOT, CODE)


@pytest.mark.parametrize(
    "planted", ["{{ name|safe }}", "{{ names | safeseq }}", "{% autoescape off %}", "{{ a|b|safe:1 }}"]
)
def test_a_template_that_does_not_escape_is_noticed(planted: str) -> None:
    assert UNESCAPED.search(planted)


def test_no_template_puts_text_in_as_it_is() -> None:
    templates = [path for path in (ROOT / "templates").rglob("*.html") if UNESCAPED.search(path.read_text())]
    assert templates == []
