"""Rules of our own about the code: what its syntax tree must not hold, and where it may all the same."""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# An element that begins or ends: in text that is put together, what is put in may be one, too.
MARKUP: Final = re.compile(r"</[A-Za-z]|<[A-Za-z][\w:.-]*(?:\s+[\w:.-]+\s*=|\s*/?>)")
SHELLS: Final = frozenset({"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"})
XML_READERS: Final = frozenset({"parse", "iterparse", "fromstring", "fromstringlist", "XML", "XMLParser"})
XML_MODULES: Final = frozenset({"ET", "ElementTree", "etree", "minidom", "expat", "sax", "pulldom"})
# What libvirt passes on to the agent in a guest. To shut down without a word on how is asked of it, too.
AGENT_CALLS: Final = frozenset(
    {
        *("qemuAgentCommand", "openChannel", "guestInfo", "fsInfo", "fsFreeze", "fsThaw", "fSTrim"),
        *("getTime", "setTime", "guestVcpus", "setGuestVcpus", "setUserPassword", "pMSuspendForDuration"),
        *("authorizedSSHKeysGet", "authorizedSSHKeysSet"),
    }
)
AGENT_FLAGS: Final = ("_GUEST_AGENT", "_SRC_AGENT", "_HOSTNAME_AGENT", "_VCPU_GUEST", "_CREATE_QUIESCE")


@dataclass(frozen=True)
class Rule:
    """`allowed` are the files where what `breaks` finds is meant; a test proves that each is still needed."""

    name: str
    breaks: Callable[[ast.AST], bool]
    allowed: frozenset[str] = frozenset()


def name_of(node: ast.AST) -> str:
    """The dotted name that an expression is; empty for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return ""


def turns_verification_off(node: ast.AST) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg in {"verify", "check_hostname"} and _is(node.value, False)
    if isinstance(node, ast.Assign):
        names = [name_of(target).rpartition(".")[2] for target in node.targets]
        return bool({"verify", "check_hostname"} & {*names}) and _is(node.value, False)
    if isinstance(node, ast.Attribute | ast.Name):
        return name_of(node).endswith(("CERT_NONE", "_create_unverified_context", "disable_warnings"))
    return False


def meets_a_stranger(node: ast.AST) -> bool:
    """Uses a context that verifies nothing: with our certificate (`introducing`), or without."""
    name = name_of(node.func) if isinstance(node, ast.Call) else ""
    return name.endswith(("stranger_context", "introducing_context"))


def puts_markup_together(node: ast.AST) -> bool:
    """By an f-string, `%`, `+`, `.format` or `.join`: only `format_html` and ElementTree escape."""
    if isinstance(node, ast.JoinedStr):
        return any(map(_is_markup, node.values)) and any(
            isinstance(v, ast.FormattedValue) for v in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.Add):
        return any(map(_is_markup, (node.left, node.right))) and not _are_texts(node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in {"format", "format_map", "join"} and _is_markup(node.func.value)
    return False


def starts_a_shell(node: ast.AST) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg == "shell" and not _is(node.value, False)
    name = name_of(node.func) if isinstance(node, ast.Call) else ""
    return name in SHELLS or name.endswith("create_subprocess_shell")


def reads_xml(node: ast.AST) -> bool:
    """With a reader that follows what a document says of itself."""
    if not isinstance(node, ast.Call):
        return False
    module, _, function = name_of(node.func).rpartition(".")
    made = function == "ParserCreate" or function.endswith("parseString")
    return made or (function in XML_READERS and module.rpartition(".")[2] in XML_MODULES)


def runs_what_it_reads(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and name_of(node.func) in {
        *("eval", "exec", "pickle.load", "pickle.loads", "marshal.loads", "yaml.load", "shelve.open"),
    }


def asks_a_guest_agent(node: ast.AST) -> bool:
    """By a call that is for it, by a flag that lets another ask it, or where no flag says what else to do."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        unsaid = not (node.args or node.keywords)
        return node.func.attr == "hostname" or (node.func.attr == "shutdown" and unsaid)
    name = node.name if isinstance(node, ast.alias) else name_of(node)
    return name.rpartition(".")[2] in AGENT_CALLS or name.endswith(AGENT_FLAGS)


RULES: Final = (
    Rule("no verification is turned off", turns_verification_off, frozenset({"hosts/trust/client.py"})),
    Rule(
        "who verifies nothing identifies, enrols, recovers or tests a connection",
        meets_a_stranger,
        frozenset(
            {
                *("hosts/trust/client.py", "hosts/identify.py", "hosts/enrolment.py"),
                *("hosts/agent/recovery.py", "hosts/agent/hops.py"),
            }
        ),
    ),
    Rule(
        "no markup is put together from texts",
        puts_markup_together,
        frozenset({"daemon/virshmanagerd/driver/consoles.py"}),  # sentences that name an element
    ),
    Rule("no shell is started", starts_a_shell),
    Rule(
        "XML of others is read by safexml alone",
        reads_xml,
        frozenset({"daemon/virshmanagerd/safexml.py", "simulator/fleet.py"}),
    ),
    Rule("nothing that was read is run", runs_what_it_reads),
    Rule("no guest agent is asked", asks_a_guest_agent),
)


def offences(rule: Rule, source: str) -> Iterator[int]:
    """The lines of a module that break a rule."""
    for node in ast.walk(ast.parse(source)):
        if rule.breaks(node):
            yield getattr(node, "lineno", 0)


def offenders(rule: Rule, root: Path, packages: tuple[str, ...]) -> dict[str, list[int]]:
    """The files below `root` that break a rule, its exceptions included, with the lines."""
    files = (path for package in packages for path in sorted((root / package).rglob("*.py")))
    found = {str(path.relative_to(root)): list(offences(rule, path.read_text())) for path in files}
    return {path: lines for path, lines in found.items() if lines}


def _is(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _is_markup(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(MARKUP.search(node.value))


def _are_texts(node: ast.BinOp) -> bool:
    """Two texts that are both written here."""
    return all(isinstance(side, ast.Constant) for side in (node.left, node.right))
