"""Operations over the wire, on libvirt's test driver: what is refused, and what each verb does."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock
from xml.etree import ElementTree as ET

import libvirt
import pytest
from authority import Authority
from doors import World, until
from hypervisors import PAUSED, RUNNING, domain_xml, fails, uuid_of
from operating import Server, owner

from virshmanagerd import commands
from virshmanagerd.operations import documents
from virshmanagerd.operations.orders import ARGS
from virshmanagerd.operations.verbs import VERBS

NOBODY = "6a1e7a5c-0000-4000-8000-000000000000"


@pytest.fixture
def server(world: World, authority: Authority, tmp_path: Path) -> Iterator[Server]:
    """`on` runs, `off` does not, `held` is paused, `brief` is transient and runs."""
    domains = (
        domain_xml("on", state=RUNNING),
        domain_xml("off"),
        domain_xml("held", state=PAUSED),
        domain_xml("brief", state=RUNNING, transient=True),
    )
    with owner(world, authority, tmp_path, *domains) as server:
        yield server


def problem(document: dict[str, Any]) -> tuple[str, str]:
    return document["state"], document["problem"]["type"]


def xml_of(name: str, **more: Any) -> str:
    return ET.tostring(domain_xml(name, **more), encoding="unicode")


def test_the_table_knows_every_verb() -> None:
    assert VERBS.keys() == ARGS.keys()
    assert {name for name, verb in VERBS.items() if verb.cancellable} == {"shutdown", "save"}
    assert {name for name, verb in VERBS.items() if not verb.converges} == {
        "start",
        "restore",
        "reboot",
        "reset",
    }


DOMAIN = {"type": "domain", "uuid": NOBODY}


@pytest.mark.parametrize(
    "change",
    [
        {"verb": "format"},
        {"target": None},
        {"deadline": float("nan")},
        {"deadline": 10**400},
        {"verb": "metadata", "args": {"title": "\ud800"}},
        {"verb": "define", "target": {"type": "host"}, "args": {"xml": "x" * 600_000}},
    ],
    ids=str,
)
def test_what_is_not_described_as_it_must_be(server: Server, change: dict[str, Any]) -> None:
    body = {"verb": "start", "target": DOMAIN, "args": {}, "deadline": 5, **change}
    answer = server.send("PUT", f"/v1/operations/{uuid.uuid4()}", body)
    assert (answer.status, answer.json["type"]) == (422, "bad_operation")
    assert answer.json["detail"]


def test_an_id_that_is_no_uuid(server: Server) -> None:
    assert server.put("start", "off", number="1").json["type"] == "bad_operation"
    assert server.send("GET", "/v1/operations/1").json["type"] == "no_such_operation"


def test_an_operation_that_is_not_known(server: Server) -> None:
    for method, path in (("GET", f"/v1/operations/{NOBODY}"), ("POST", f"/v1/operations/{NOBODY}/cancel")):
        answer = server.send(method, path)
        assert (answer.status, answer.json["type"]) == (404, "no_such_operation")


def test_the_same_id_runs_once(server: Server) -> None:
    first = server.did("start", "off")
    again = server.put("start", "off", number=first["id"], deadline=99)
    assert again.status == 200
    assert {**again.json, "age": 0} == {**first, "age": 0}
    server.did("destroy", "off")
    assert server.put("start", "off", number=first["id"]).json["state"] == "done"
    assert server.row("off")["state"] == "shutoff"


def test_a_domain_of_long_ago_is_not_told_as_it_is(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    started = server.did("start", "off")
    assert started["result"]["domain"]["state"] == "running"
    monkeypatch.setattr(documents, "FRESH_SECONDS", 0.0)
    assert server.document(started["id"])["result"] == {"domain": None}


def test_the_same_id_for_something_else(server: Server) -> None:
    first = server.did("start", "off")
    for answer in (
        server.put("destroy", "off", number=first["id"]),
        server.put("start", "on", number=first["id"]),
    ):
        assert (answer.status, answer.json["type"]) == (422, "operation_differs")


def test_another_journal_is_not_sent_to(server: Server) -> None:
    ours = server.send("GET", "/v1/host").json["journal_id"]
    answer = server.put("start", "off", journal_id=NOBODY)
    assert (answer.status, answer.json["type"]) == (409, "journal_changed")
    assert server.row("off")["state"] == "shutoff"
    known = server.did("start", "off", journal_id=ours)
    assert known["journal_id"] == ours
    assert server.put("start", "off", number=known["id"], journal_id=NOBODY).status == 200


def test_a_journal_that_cannot_be_opened(world: World, authority: Authority, tmp_path: Path) -> None:
    """Nothing is begun, and all else goes on."""
    state = world.config().state_dir
    (state / "journal.sqlite").mkdir(parents=True)
    with owner(world, authority, tmp_path, domain_xml("off")) as server:
        answer = server.put("start", "off")
        assert (answer.status, answer.json["type"]) == (507, "journal_unwritable")
        assert server.send("GET", "/v1/host").json["journal_id"] is None
        assert server.row("off")["state"] == "shutoff"
        (state / "journal.sqlite").rmdir()
        assert server.did("start", "off")["state"] == "done"


@pytest.mark.parametrize(
    ("verb", "name", "word"),
    [
        ("start", "on", "wrong_state"),
        ("start", "held", "wrong_state"),
        ("restore", "on", "wrong_state"),
        ("restore", "off", "wrong_state"),
        ("shutdown", "held", "wrong_state"),
        ("reboot", "off", "wrong_state"),
        ("reset", "off", "wrong_state"),
        ("suspend", "off", "wrong_state"),
        ("resume", "off", "wrong_state"),
        ("save", "off", "wrong_state"),
        ("save", "brief", "wrong_state"),
        ("undefine", "on", "wrong_state"),
        ("autostart", "brief", "wrong_state"),
        *((verb, "nobody", "no_such_domain") for verb in VERBS if verb != "define"),
    ],
)
def test_what_the_state_forbids(server: Server, verb: str, name: str, word: str) -> None:
    args = {"autostart": {"enabled": True}, "metadata": {"title": "x"}}.get(verb)
    document = server.did(verb, name, args)
    assert problem(document) == ("failed", word)
    assert document["problem"]["detail"]
    assert document["result"] == {}


@pytest.mark.parametrize(
    ("verb", "name", "state"),
    [
        ("start", "off", "running"),
        ("shutdown", "on", "shutoff"),
        ("shutdown", "off", "shutoff"),
        ("reboot", "on", "running"),
        ("reset", "on", "running"),
        ("destroy", "held", "shutoff"),
        ("destroy", "off", "shutoff"),
        ("suspend", "on", "paused"),
        ("suspend", "held", "paused"),
        ("resume", "held", "running"),
        ("resume", "on", "running"),
    ],
)
def test_it_works(server: Server, verb: str, name: str, state: str) -> None:
    document = server.did(verb, name)
    assert (document["state"], document["problem"]) == ("done", None)
    assert document["result"]["domain"] == server.row(name)
    assert server.row(name)["state"] == state


def test_saving_and_restoring(server: Server) -> None:
    saved = server.did("save", "held")["result"]["domain"]
    assert (saved["state"], saved["has_managed_save"]) == ("shutoff", True)
    assert server.did("save", "held")["state"] == "done"
    restored = server.did("restore", "held")["result"]["domain"]
    assert (restored["state"], restored["has_managed_save"]) == ("running", False)


def test_autostart(server: Server) -> None:
    for enabled in (True, True, False):
        document = server.did("autostart", "off", {"enabled": enabled})
        assert document["result"]["domain"]["autostart"] is enabled


def test_a_domain_that_is_gone_has_no_row(server: Server) -> None:
    assert server.did("undefine", "off")["result"] == {"domain": None}
    assert server.did("destroy", "brief")["result"] == {"domain": None}


HARD = "]]></name><x y='1'>&amp; \"\U0001f600\u202e"


def test_texts_come_back_unchanged(server: Server) -> None:
    for name in ("on", "off"):
        args = {"title": HARD, "description": f"{HARD}\n\tindented", "tags": [HARD, "web"]}
        row = server.did("metadata", name, args)["result"]["domain"]
        assert row == server.row(name)
        assert (row["title"], row["metadata"]["description"]) == (HARD, args["description"])
        assert row["metadata"]["tags"] == args["tags"]


def test_what_is_not_named_stays_and_what_is_empty_goes(server: Server) -> None:
    server.did("metadata", "brief", {"title": "A", "description": "B", "tags": ["c"]})
    row = server.did("metadata", "brief", {"description": "", "tags": []})["result"]["domain"]
    assert (row["title"], row["metadata"]) == ("A", {"description": None, "tags": []})
    row = server.did("metadata", "brief", {"title": "", "tags": []})["result"]["domain"]
    assert row["title"] is None


@pytest.mark.parametrize(
    ("xml", "said"),
    [
        ("<domain", "cannot be read"),
        ("<pool/>", "does not describe a domain"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><domain/>", "document type declaration"),
        ("<domain type='test'><name>x</name><uuid>no</uuid></domain>", "no UUID"),
        ("<domain type='test'><name>\ud800</name></domain>", "cannot be read"),
        (xml_of("new").replace("<vcpu>", "<nonsense/><vcpu>"), "nonsense"),
    ],
)
def test_xml_that_is_refused(server: Server, xml: str, said: str) -> None:
    document = server.did("define", args={"xml": xml})
    assert problem(document) == ("failed", "invalid_xml")
    assert said in document["problem"]["detail"]


def test_a_domain_is_defined_and_redefined(server: Server) -> None:
    document = server.did("define", args={"xml": plain("new")}, precondition={"xml_hash": None})
    result = document["result"]
    assert result["uuid"] == uuid_of("new")
    details = server.send("GET", f"/v1/domains/{result['uuid']}").json
    assert result["xml_hash"] == details["xml_hash"]

    again = {"xml": plain("new", title="Renamed")}
    for wrong in (None, "0" * 64):
        document = server.did("define", args=again, precondition={"xml_hash": wrong})
        assert problem(document) == ("failed", "xml_changed")
    document = server.did("define", args=again, precondition={"xml_hash": result["xml_hash"]})
    assert document["state"] == "done"
    assert document["result"]["xml_hash"] != result["xml_hash"]
    assert server.row("new")["title"] == "Renamed"


def test_xml_without_a_uuid_gets_one(server: Server) -> None:
    root = ET.fromstring(plain("new"))  # noqa: S314 - our own
    root.remove(root.findall("uuid")[0])
    result = server.did("define", args={"xml": ET.tostring(root, encoding="unicode")})["result"]
    text = server.send("GET", f"/v1/domains/{result['uuid']}/xml?which=inactive").body
    assert result["xml_hash"] == hashlib.sha256(text).hexdigest()


def test_the_xml_of_a_large_domain_is_taken(server: Server) -> None:
    """Half a mebibyte, of characters that JSON writes longest."""
    filler = "\u00e9" * 250_000
    assert len(filler.encode()) > 480_000
    xml = plain("new").replace("<memory", f"<description>{filler}</description><memory")
    assert server.did("define", args={"xml": xml})["state"] == "done"


def plain(name: str, **more: Any) -> str:
    """XML that libvirt's schema knows: without what only the test driver reads."""
    root = domain_xml(name, **more)
    for element in list(root):
        if "}" in element.tag:
            root.remove(element)
    return ET.tostring(root, encoding="unicode")


def test_libvirts_refusal_is_the_verdict(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    fails(monkeypatch, libvirt.virDomain, "create", libvirt.VIR_ERR_OPERATION_FAILED)
    document = server.did("start", "off")
    assert problem(document) == ("failed", "internal_error")
    assert document["problem"]["detail"] == "it failed"


def test_a_busy_domain_is_the_verdict(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    fails(monkeypatch, libvirt.virDomain, "suspend", libvirt.VIR_ERR_OPERATION_TIMEOUT)
    assert problem(server.did("suspend", "on")) == ("failed", "hypervisor_busy")


def test_a_state_is_reached_whoever_reached_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    real = libvirt.virDomain.suspend

    def twice(domain: libvirt.virDomain) -> None:
        real(domain)
        real(domain)

    monkeypatch.setattr(libvirt.virDomain, "suspend", twice)
    assert server.did("suspend", "on")["state"] == "done"


def test_the_state_says_why_a_start_failed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else was faster; the test driver's own code for that is 1, an internal error."""
    real = libvirt.virDomain.create

    def twice(domain: libvirt.virDomain) -> None:
        real(domain)
        real(domain)

    monkeypatch.setattr(libvirt.virDomain, "create", twice)
    assert problem(server.did("start", "off")) == ("failed", "wrong_state")


def test_flags_that_a_hypervisor_does_not_know_are_left_out(server: Server) -> None:
    """The test driver knows neither NVRAM nor a power button."""
    assert server.did("shutdown", "on")["state"] == "done"
    assert server.did("undefine", "on")["state"] == "done"


def test_acknowledging(server: Server) -> None:
    done = server.did("start", "off")["id"]
    answer = server.send("POST", "/v1/operations/acknowledge", {"ids": [done, NOBODY, "nonsense"]})
    assert answer.json == {"acknowledged": 1}
    assert server.document(done)["state"] == "done"
    for ids in (None, "x", [7], ["x"] * 501):
        assert server.send("POST", "/v1/operations/acknowledge", {"ids": ids}).status == 400


def test_what_has_ended_cannot_be_cancelled(server: Server) -> None:
    done = server.did("start", "off")["id"]
    answer = server.send("POST", f"/v1/operations/{done}/cancel")
    assert (answer.status, answer.json["type"]) == (409, "not_cancellable")


def test_each_move_is_told(server: Server) -> None:
    told: list[tuple[str, str]] = []
    outbox = server.host.daemon.outbox
    real = outbox.publish

    def publish(kind: str, /, **fields: Any) -> None:
        if kind == "operation.changed":
            told.append((fields["operation"]["id"], fields["operation"]["state"]))
        real(kind, **fields)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outbox, "publish", publish)
        number = server.did("start", "off")["id"]
        until(lambda: len(told) == 2)
    assert told == [(number, "started"), (number, "done")]


def test_a_reset_begins_a_new_journal(server: Server) -> None:
    daemon = server.host.daemon
    before = daemon.journal_id
    server.did("start", "off")
    list(commands.reset(daemon.config))
    daemon.poll()
    assert daemon.journal_id != before


def test_a_reset_ends_what_could_be_heard_again(server: Server) -> None:
    """Who owns the host next need not know what was done before."""
    daemon = server.host.daemon
    server.did("start", "off")
    list(commands.reset(daemon.config))
    daemon.poll()
    pipe = mock.Mock(unsent=0)
    daemon.outbox.subscribe(pipe, f"{daemon.outbox.epoch}:0", None)
    (hello,) = [json.loads(call.args[0]) for call in pipe.send.call_args_list]
    assert not hello["replayed"]
