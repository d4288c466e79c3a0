"""Django's admin: every model, nothing secret, and nothing to change that would break a promise."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from access.models import ApiToken, SetupLink
from access.services import create_token
from discovery.choices import CrawlState, Kind, Phase
from discovery.models import Address, Chunk, Crawl, Range
from domains import services
from domains.models import Domain
from hosts.choices import Trust
from hosts.models import (
    Host,
    HostAddress,
    HostCertificate,
    JoinKey,
    Operation,
    OperationEvent,
    QuarantinedKey,
)
from hosts.services import create_join_key
from tests.domains.factories import domain, owned_host

pytestmark = pytest.mark.django_db

OURS = [
    model
    for app in ("access", "hosts", "discovery", "domains")
    for model in apps.get_app_config(app).get_models()
]


def started(ada: User) -> Operation:
    return services.act(domain(state="shutoff"), "start", actor=ada)


@pytest.fixture
def things(ada: User) -> None:
    """One of everything."""
    host = owned_host()
    domain(host)
    started(ada)
    HostAddress.objects.create(host=host, ip=host.address)
    HostCertificate.objects.create(
        host=host, host_uuid=host.uuid, serial="ab", public_key_sha256="ab" * 32, expires_at=timezone.now()
    )
    QuarantinedKey.objects.create(
        public_key_sha256="ab" * 32, ip="192.0.2.9", problem="mitm_suspected", reason="x"
    )
    range_ = Range.objects.create(cidr="192.0.2.0/24")
    crawl = Crawl.objects.create(range=range_, phase=Phase.FULL)
    Chunk.objects.create(crawl=crawl, network="192.0.2.0/24", addresses=256)
    Address.objects.create(range=range_, ip="192.0.2.9", packed=b"x", kind=Kind.OTHER)


def page(model: type[Model], kind: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{kind}", args=args)


@pytest.mark.parametrize("model", OURS)
def test_every_model_has_a_list_and_a_page(browser: Client, things: None, model: type[Model]) -> None:
    assert model in admin.site._registry
    assert browser.get(page(model, "changelist")).status_code == 200
    assert browser.get(page(model, "changelist") + "?q=192.0.2").status_code == 200
    first = model._default_manager.first()
    if first is not None:
        assert browser.get(page(model, "change", first.pk)).status_code == 200


@pytest.mark.parametrize("model", [*OURS, User])
def test_keys_that_no_row_can_have(browser: Client, things: None, model: type[Model]) -> None:
    for key in ("9223372036854775808", "9" * 5000, "x", "\x00"):
        for name in ("id__exact", "host", "host__id__exact"):
            assert browser.get(page(model, "changelist"), {name: key}).status_code in {200, 302, 400}
        for action in ("crawl", "cancel", "retire", "revoke", "delete_selected"):
            body = {"action": action, "_selected_action": key}
            assert browser.post(page(model, "changelist"), body).status_code in {200, 302, 400, 403}


@pytest.mark.parametrize(
    "model",
    [
        *(Host, HostAddress, QuarantinedKey, JoinKey, Crawl, Chunk, Address, Domain, ApiToken),
        *(Operation, OperationEvent),
    ],
)
def test_what_programs_write_is_not_written_here(browser: Client, things: None, model: type[Model]) -> None:
    assert browser.get(page(model, "add")).status_code == 403
    first = model._default_manager.first()
    if first is not None:
        assert browser.post(page(model, "change", first.pk), {"trust": "owned"}).status_code == 403


def test_no_secret_is_shown(browser: Client, ada: User) -> None:
    key, join = create_join_key(label="rack")
    token, text = create_token(user=ada, name="ci")
    SetupLink.objects.create(digest="d" * 64, expires_at=key.expires_at)
    shown = b"".join(
        browser.get(page(type(row), "change", row.pk)).content
        for row in (key, token, SetupLink.objects.get())
    )
    for secret in (
        str(join["secret"]),
        text,
        token.digest,
        "d" * 64,
        key.derived_key.hex(),
        repr(key.derived_key),
    ):
        assert secret.encode() not in shown


def act(browser: Client, model: type[Model], action: str, row: Model) -> None:
    answer = browser.post(page(model, "changelist"), {"action": action, "_selected_action": [row.pk]})
    assert answer.status_code == 302


def test_actions_on_hosts(browser: Client) -> None:
    host = owned_host(trust=Trust.PENDING)
    for action, trust in (("deny", Trust.DENIED), ("retire", Trust.DENIED), ("approve", Trust.PENDING)):
        act(browser, Host, action, host)
        host.refresh_from_db()
        assert host.trust == trust
    act(browser, Host, "probe", host)
    host.refresh_from_db()
    assert host.problem == "outside_ranges"


def test_actions_on_ranges_crawls_and_keys(browser: Client) -> None:
    range_ = Range.objects.create(cidr="192.0.2.0/24")
    off = Range.objects.create(cidr="198.51.100.0/24", enabled=False)
    for asked in (range_, range_, off):
        act(browser, Range, "crawl", asked)
    crawl = Crawl.objects.get()
    act(browser, Crawl, "cancel", crawl)
    crawl.refresh_from_db()
    assert crawl.state == CrawlState.CANCELLED
    key, _ = create_join_key()
    act(browser, JoinKey, "revoke", key)
    key.refresh_from_db()
    assert key.state == "revoked"


def test_an_operation_is_cancelled_but_never_deleted(browser: Client, ada: User) -> None:
    operation = started(ada)
    for _ in range(2):
        act(browser, Operation, "cancel", operation)
    operation.refresh_from_db()
    assert operation.state == "cancelled"
    assert browser.post(page(Operation, "delete", operation.pk), {"post": "yes"}).status_code == 403


def test_a_token_is_revoked_here(browser: Client, ada: User) -> None:
    token, _ = create_token(user=ada, name="ci")
    browser.post(page(ApiToken, "delete", token.pk), {"post": "yes"})
    assert not ApiToken.objects.exists()


def test_a_person_frees_a_quarantined_key(browser: Client, things: None) -> None:
    key = QuarantinedKey.objects.get()
    browser.post(page(QuarantinedKey, "delete", key.pk), {"post": "yes"})
    assert not QuarantinedKey.objects.exists()
