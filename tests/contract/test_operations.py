"""Operations from the API to a real daemon on libvirt's test driver, and back."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from domains.models import Domain
from domains.tasks import refresh_details
from hosts import services
from hosts.choices import OperationState
from hosts.models import Host, Operation
from hosts.services.operations.moves import NEVER

from .conftest import meet
from .machines import Machine, Running

Run = Callable[..., Running]
S = OperationState
# Waits for the end, and so also carries: here is no worker.
WAIT = {"Prefer": "wait=20"}


@pytest.fixture
def daemon(run: Run, machine: Machine) -> Running:
    running: Running = run(machine)
    meet(running)
    return running


@pytest.fixture
def domain(daemon: Running) -> Domain:
    """libvirt's test driver has one domain, `test`, and it runs."""
    return Domain.objects.select_related("host").get()


def ask(api: APIClient, domain: Domain, verb: str, body: object = None, **headers: str) -> Any:
    answer = api.post(f"/api/domains/{domain.pk}/{verb}/", body, format="json", headers=WAIT | headers)
    domain.refresh_from_db()
    return answer


def work(host: Host) -> None:
    """Do what workers do, until nothing is open any more."""
    ends = time.monotonic() + 20
    while Operation.objects.open().exists() and time.monotonic() < ends:
        services.sweep()
        services.carry_host(host.pk)


def test_a_verb_that_libvirt_refuses_fails_with_its_words(api: APIClient, domain: Domain) -> None:
    Domain.objects.update(state="shutoff", libvirt_id=None)
    answer = ask(api, domain, "start")
    assert answer.status_code == 200, answer.json()
    assert (answer.json()["state"], answer.json()["problem"]["type"]) == ("failed", "wrong_state")


def test_a_domain_that_is_not_there_fails(api: APIClient, domain: Domain) -> None:
    Domain.objects.update(uuid="00000000-0000-4000-8000-000000000000")
    answer = ask(api, domain, "destroy")
    assert (answer.json()["state"], answer.json()["problem"]["type"]) == ("failed", "no_such_domain")


def test_xml_that_is_none_is_refused_by_the_host(api: APIClient, daemon: Running) -> None:
    url = f"/api/hosts/{Host.objects.get().pk}/domains/"
    answer = api.post(url, {"xml": "<domain"}, format="json", headers=WAIT)
    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["problem"]["type"]) == ("failed", "invalid_xml")


def test_a_host_that_is_down_takes_it_when_it_is_back(api: APIClient, run: Run, machine: Machine) -> None:
    with machine.run() as running:
        meet(running)
    domain = Domain.objects.get()
    answer = api.post(f"/api/domains/{domain.pk}/suspend/", headers={"Prefer": "wait=1"})
    assert (answer.status_code, answer.json()["state"]) == (202, "accepted")
    assert answer["Preference-Applied"] == "wait=1"
    run(machine, running.ip, running.port)
    work(domain.host)
    assert Operation.objects.get().state == S.SUCCEEDED
    domain.refresh_from_db()
    assert domain.state == "paused"


def test_a_journal_that_is_lost_is_never_sent_to_again(api: APIClient, machine: Machine) -> None:
    with machine.run() as running:
        meet(running)
        domain = Domain.objects.get()
        operation = Operation.objects.get(pk=ask(api, domain, "suspend").json()["id"])
        # As if the verdict had not been heard.
        Operation.objects.update(state=S.SENT, finished_at=None, verb="reboot")
    for path in (machine.folder / "state").glob("journal*"):
        path.unlink()
    with machine.run(running.ip, running.port):
        Operation.objects.update(due_at=operation.created_at)
        operation = services.wait_for(Operation.objects.select_related("host").get(), 20)
    assert operation.state == S.UNKNOWN
    assert operation.problem is not None
    assert operation.problem["type"] == "journal_changed"


def test_the_same_key_does_it_once(api: APIClient, domain: Domain) -> None:
    key = {"Idempotency-Key": "k"}
    first, again = ask(api, domain, "suspend", **key), ask(api, domain, "suspend", **key)
    assert first.json()["id"] == again.json()["id"]
    assert (again.status_code, again.json()["state"]) == (200, "succeeded")


def test_the_life_of_a_domain(api: APIClient, domain: Domain) -> None:
    for verb, state in (
        *[("suspend", "paused"), ("resume", "running"), ("shutdown", "shutoff"), ("start", "running")],
        *[("save", "shutoff"), ("restore", "running"), ("reboot", "running"), ("destroy", "shutoff")],
    ):
        answer = ask(api, domain, verb)
        assert (answer.status_code, answer.json()["state"]) == (200, "succeeded"), answer.json()
        assert domain.state == state, verb
        assert answer.json()["result"] == {"state": state}
    events = [event["state"] for event in answer.json()["events"]]
    assert (events[0], events[-1]) == ("accepted", "succeeded")


def test_texts_autostart_and_definition(api: APIClient, domain: Domain) -> None:
    body = {"title": "Web", "description": "one\ntwo", "tags": ["b", "a"]}
    answer = api.patch(f"/api/domains/{domain.pk}/", body, format="json", headers=WAIT)
    assert answer.json()["state"] == "succeeded", answer.json()
    domain.refresh_from_db()
    assert (domain.title, domain.description, domain.tags) == ("Web", "one\ntwo", ["a", "b"])
    assert ask(api, domain, "autostart", {"enabled": True}).json()["state"] == "succeeded"
    assert domain.autostart
    assert ask(api, domain, "destroy").json()["state"] == "succeeded"
    answer = api.post(f"/api/domains/{domain.pk}/undefine/", headers=WAIT)
    assert answer.json()["state"] == "succeeded"
    assert not Domain.objects.exists()


def test_a_definition_is_a_domain(api: APIClient, domain: Domain) -> None:
    xml = "<domain type='test'><name>new</name><memory>1024</memory><os><type>hvm</type></os></domain>"
    url = f"/api/hosts/{domain.host.pk}/domains/"
    answer = api.post(url, {"xml": xml}, format="json", headers=WAIT)
    assert answer.json()["state"] == "succeeded", answer.json()
    made = answer.json()["result"]
    assert len(made["xml_hash"]) == 64
    services.refresh(Host.objects.get())
    new = Domain.objects.get(name="new")
    assert (str(new.uuid), new.state) == (made["uuid"], "shutoff")


def test_a_definition_that_somebody_else_has_changed_is_kept(api: APIClient, domain: Domain) -> None:
    xml = "<domain type='test'><name>new</name>{}<memory>1024</memory><os><type>hvm</type></os></domain>"
    url = f"/api/hosts/{domain.host.pk}/domains/"

    def define(uuid: str, xml_hash: str | None) -> Any:
        body = {"xml": xml.format(uuid), "xml_hash": xml_hash}
        return api.post(url, body, format="json", headers=WAIT).json()

    made = define("", None)
    assert made["state"] == "succeeded", made
    services.refresh(Host.objects.get())
    new = Domain.objects.get(name="new")
    refresh_details(new.pk)
    known = api.get(f"/api/domains/{new.pk}/").json()["xml_hash"]
    assert known == made["result"]["xml_hash"]
    uuid = f"<uuid>{new.uuid}</uuid>"
    for stale in (None, "0" * 64):
        refused = define(uuid, stale)
        assert (refused["state"], refused["problem"]["type"]) == ("failed", "xml_changed")
    assert define(uuid, known)["state"] == "succeeded"


def test_a_domain_that_has_much_of_everything_does_not_hide_its_host(api: APIClient, domain: Domain) -> None:
    tags = "".join(f"<t:tag>tag-{number}</t:tag>" for number in range(70))
    disks = "".join(
        f"<disk type='file'><source file='/{number}'/><target dev='vd{chr(97 + number // 26)}"
        f"{chr(97 + number % 26)}' bus='virtio'/><boot order='{number + 1}'/></disk>"
        for number in range(40)
    )
    xml = (
        "<domain type='test'><name>much</name><memory>1024</memory><os><type>hvm</type></os>"
        f"<metadata><t:tags xmlns:t='urn:virshmanager:domain:1'>{tags}</t:tags></metadata>"
        f"<devices>{disks}</devices></domain>"
    )
    answer = api.post(f"/api/hosts/{domain.host.pk}/domains/", {"xml": xml}, format="json", headers=WAIT)
    assert answer.json()["state"] == "succeeded", answer.json()
    assert services.refresh(Host.objects.get()).problem == ""
    much = Domain.objects.get(name="much")
    assert len(much.tags) == 64
    refresh_details(much.pk)
    much.refresh_from_db()
    assert len(much.details["boot"]) == 40


def test_many_domains_are_told_at_once(api: APIClient, domain: Domain) -> None:
    body = {"verb": "suspend", "selector": {"host": domain.host.pk}}
    parent = api.post("/api/domains/bulk/", body, format="json").json()
    work(domain.host)
    shown = api.get(f"/api/operations/{parent['id']}/").json()
    assert (shown["state"], shown["progress"]) == ("succeeded", 100)
    domain.refresh_from_db()
    assert domain.state == "paused"


def test_a_verdict_is_acknowledged(api: APIClient, domain: Domain) -> None:
    ask(api, domain, "suspend")
    services.carry_host(domain.host.pk)
    operation = Operation.objects.get()
    assert (operation.acknowledged, operation.due_at) == (True, NEVER)
