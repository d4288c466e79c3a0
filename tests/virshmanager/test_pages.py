"""What holds for every page: nothing inline, words escaped, a fixed number of queries, no change by GET."""

import ipaddress
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from discovery.models import Address, Crawl, Range
from domains.models import Domain
from hosts.choices import OperationState, TargetType
from hosts.models import Host, Operation, OperationEvent
from hosts.services import create_join_key
from tests.domains.factories import domain, owned_host

pytestmark = pytest.mark.django_db

HOSTILE = "\"><script>alert('x')</script>{{ 7|add:7 }}"
INLINE = re.compile(
    r"<script(?![^>]*\b(?:src=|application/json))|\sstyle=|\son\w+=|javascript:|<style", re.IGNORECASE
)


def fill(count: int = 1) -> None:
    """A range with hosts and domains, all with hostile words; ids start at 1 in an empty database."""
    range_ = Range.objects.create(cidr=f"10.{Range.objects.count()}.0.0/24", label=HOSTILE)
    for number in range(count):
        host = owned_host(
            hostname=HOSTILE, reason=HOSTILE, libvirt_error=HOSTILE, libvirt_alive=False, load=[1.0]
        )
        guest = domain(
            host, name=HOSTILE, title=HOSTILE, description=HOSTILE, tags=[HOSTILE], state="running"
        )
        journal(host, guest)
        ip = str(range_.network[number])
        packed = b"\0" * 10 + b"\xff\xff" + ipaddress.ip_address(ip).packed
        Address.objects.create(range=range_, ip=ip, packed=packed, kind="hypervisor", host=host)
        now = timezone.now()
        Crawl.objects.create(
            range=range_,
            phase="full",
            state="failed",
            started_at=now,
            finished_at=now,
            problem={"detail": HOSTILE},
        )
    create_join_key(label=HOSTILE)


def journal(host: Host, guest: Domain) -> None:
    """A bulk operation with a part that failed, and one that goes on."""
    told = {"actor_name": HOSTILE, "host_name": HOSTILE, "deadline": timezone.now()}
    parent = Operation.objects.create(
        **told, target_type=TargetType.SELECTION, target_name=HOSTILE, verb="save", state="failed"
    )
    of_guest = told | {"host": host, "target_type": TargetType.DOMAIN, "target_id": guest.pk}
    failed = Operation.objects.create(
        **of_guest,
        parent=parent,
        target_name=HOSTILE,
        verb="destroy",
        state=OperationState.FAILED,
        problem={"type": "internal_error", "detail": HOSTILE},
    )
    OperationEvent.objects.create(operation=failed, state=OperationState.FAILED, detail=HOSTILE)
    Operation.objects.create(
        **of_guest,
        target_name=HOSTILE,
        verb="metadata",
        args={"title": HOSTILE},
        progress=40,
        state="running",
    )


def paths() -> list[str]:
    host, guest, range_ = Host.objects.first(), Domain.objects.first(), Range.objects.first()
    crawl, address = Crawl.objects.first(), Address.objects.first()
    assert host
    assert guest
    assert range_
    assert crawl
    assert address
    failed, parent = Operation.objects.get(verb="destroy"), Operation.objects.get(verb="save")
    guest_at = f"/domains/{guest.pk}/"
    discovery = f"/discovery/ranges/{range_.pk}/"
    return [
        *("/", "/discovery/", discovery, f"{discovery}card/", f"{discovery}edit/", f"{discovery}delete/"),
        *(f"{discovery}at/192.0.2.99/", "/discovery/ranges/add/", f"/discovery/crawls/{crawl.pk}/"),
        *(
            "/hosts/",
            f"/hosts/{host.pk}/",
            f"/hosts/{host.pk}/row/",
            f"/hosts/{host.pk}/retire/",
            f"/hosts/{host.pk}/trust/",
            "/hosts/add/",
            "/hosts/approve/",
        ),
        *(
            "/domains/",
            guest_at,
            f"{guest_at}row/",
            f"/hosts/{host.pk}/domains/",
            f"{guest_at}verbs/",
            f"{guest_at}console/",
        ),
        *(f"{guest_at}verbs/destroy/", f"{guest_at}edit/", f"{guest_at}forget/"),
        *(f"/domains/bulk/?verb=destroy&ids={guest.pk}", f"/hosts/{host.pk}/domains/define/"),
        *("/operations/", f"/operations/{failed.pk}/", f"/operations/{parent.pk}/"),
        *(f"/operations/{failed.pk}/cancel/", "/operations/open/", "/operations/?search=x"),
        *("/join-keys/", "/join-keys/create/", "/account/tokens/"),
    ]


@pytest.mark.attack("Stored cross-site scripting")
def test_nothing_is_inline_and_hostile_words_are_escaped(browser: Client) -> None:
    fill()
    for path in paths():
        answer = browser.get(path)
        page = answer.content.decode()
        assert answer.status_code == 200, path
        assert "alert('x')" not in page, path
        assert not INLINE.search(page), (path, INLINE.search(page))
        assert answer["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; ")


def test_hostile_words_are_shown_as_they_are(browser: Client) -> None:
    fill()
    assert "&quot;&gt;&lt;script&gt;alert(&#x27;x&#x27;)" in browser.get("/domains/").content.decode()


@pytest.mark.usefixtures("redis_server")
def test_looking_changes_nothing(browser: Client) -> None:
    """Neither a question before a verb nor a preview of many is an act."""
    fill()
    before = list(Operation.objects.values())
    for path in paths():
        browser.get(path)
    assert list(Operation.objects.values()) == before


def queries(browser: Client, path: str) -> int:
    with CaptureQueriesContext(connection) as seen:
        assert browser.get(path).status_code == 200, path
    return len(seen)


@pytest.mark.usefixtures("redis_server")
def test_the_number_of_queries_does_not_grow_with_the_fleet(browser: Client) -> None:
    fill()
    lists = [path for path in paths() if "card" not in path]
    few = {path: queries(browser, path) for path in lists}
    for _ in range(3):
        fill(5)
    many = {path: queries(browser, path) for path in lists}
    assert many == few
    assert max(many.values()) <= 21, many


@pytest.mark.parametrize(
    "path",
    [
        "/hosts/{host}/probe/",
        "/hosts/{host}/trust/test/",
        "/discovery/ranges/{range}/crawl/",
        "/discovery/crawls/{crawl}/cancel/",
    ],
)
def test_no_get_changes_anything(browser: Client, path: str) -> None:
    fill()
    host, range_, crawl = Host.objects.get(), Range.objects.get(), Crawl.objects.get()
    assert browser.get(path.format(host=host.pk, range=range_.pk, crawl=crawl.pk)).status_code == 405


@pytest.mark.parametrize(
    "page",
    [
        "/domains/?page=99",
        "/domains/?state=nonsense",
        "/hosts/?ordering=secret",
        "/domains/?host=x",
        "/domains/?host=" + "9" * 5000,
        "/domains/?host=%C2%B2",
        "/domains/?page=" + "9" * 5000,
        "/domains/?stale=maybe&missing=maybe",
        "/domains/bulk/?verb=start&ids=x&ids=" + "9" * 5000,
        "/operations/?state=x&verb=%00&host=x&domain=x&parent=x&actor=%ED%A0%80",
        "/operations/?domain=" + "9" * 5000,
        "/operations/?ordering=idempotency_key&target_id=1e500",
        "/discovery/ranges/{range}/?page=-1&kind=%00&search=%ED%A0%80",
    ],
)
def test_an_address_that_makes_no_sense_still_gets_a_page(browser: Client, page: str) -> None:
    fill()
    assert browser.get(page.format(range=Range.objects.get().pk)).status_code == 200


def test_what_a_host_told_before_it_fell_silent_is_shown_as_unknown_with_its_age(browser: Client) -> None:
    before = timezone.now() - timedelta(minutes=5)
    domain(owned_host(last_seen=before, listed_at=before), state="running")
    page = browser.get("/domains/").content.decode()
    assert 'data-state="unknown"' in page
    assert "was running" in page
    assert "5 min ago" in page
    assert 'Stale <span class="num">1</span>' in page


def test_the_overview_says_that_its_numbers_are_of_silent_hosts(browser: Client) -> None:
    before = timezone.now() - timedelta(minutes=5)
    domain(
        owned_host(last_seen=before, listed_at=before, reason="It did not answer in time."), state="running"
    )
    page = browser.get("/").content.decode()
    assert "1 of silent hosts as last known" in page
    assert "It did not answer in time. Last proof of life:" in page


def test_libvirt_of_a_silent_host_is_not_called_alive(browser: Client) -> None:
    before = timezone.now() - timedelta(minutes=5)
    host = owned_host(last_seen=before, inventory_at=before, libvirt_alive=True)
    page = browser.get(f"/hosts/{host.pk}/").content.decode()
    assert ("was alive" in page, "Alive" in page) == (True, False)


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/", "choose the first network"),
        ("/discovery/", "No network is watched yet"),
        ("/hosts/", "No host has been found yet"),
        ("/domains/", "No domain is known yet"),
        ("/hosts/approve/", "No host waits for approval"),
        ("/join-keys/", "No join key yet"),
        ("/account/tokens/", "No token yet"),
        ("/domains/?search=nothing", "No domain matches"),
        ("/operations/", "Nothing has been asked for yet"),
        ("/operations/?search=nothing", "No operation matches"),
        ("/domains/bulk/?verb=start", "No domain is selected"),
    ],
)
def test_an_empty_list_says_why_and_what_to_do(browser: Client, path: str, word: str) -> None:
    assert word in browser.get(path).content.decode()


def test_a_filter_without_a_value_asks_for_nothing(browser: Client) -> None:
    assert "filter in the address is not known" in browser.get("/domains/?state=x").content.decode()
    page = browser.get("/domains/?search=&state=").content.decode()
    assert "filter in the address is not known" not in page
    assert "No domain is known yet" in page


def answer_of(browser: Client, path: str) -> tuple[int, str]:
    answer = browser.get(path)
    return answer.status_code, answer.content.decode()


def test_what_is_not_there_gets_a_page_that_says_so(browser: Client) -> None:
    for path in (
        *("/hosts/1/", "/domains/1/", "/discovery/ranges/1/", "/discovery/crawls/1/", "/nowhere/"),
        *("/domains/1/verbs/start/", "/operations/00000000-0000-7000-8000-000000000000/"),
        *(
            "/domains/1/console/",
            "/domains/bulk/",
            "/domains/bulk/?verb=metadata",
            "/hosts/1/domains/define/",
        ),
    ):
        status, page = answer_of(browser, path)
        assert status == 404, path
        assert "Not found" in page


def test_the_overview_names_the_longest_silent_host_first(browser: Client) -> None:
    now = timezone.now()
    for name, minutes in (("quiet", 1), ("gone", 60), ("well", 0)):
        owned_host(hostname=name, last_seen=now - timedelta(minutes=minutes))
    owned_host(hostname="sick", last_seen=now, libvirt_alive=False)
    text = browser.get("/").content.decode()
    attention = text.partition("Needs attention")[2].partition("Recent activity")[0]
    assert attention.index("gone") < attention.index("quiet") < attention.index("sick")
    assert "well" not in attention


def test_recent_activity_is_of_crawls_that_found_a_change(browser: Client) -> None:
    range_ = Range.objects.create(cidr="198.51.100.0/24")
    told = {"range": range_, "phase": "full", "state": "succeeded", "finished_at": timezone.now()}
    nothing = {"appeared": 0, "vanished": 0, "changed": 0}
    same = Crawl.objects.create(**told, changes=nothing)
    news = Crawl.objects.create(**told, changes=nothing | {"vanished": 2})
    page = browser.get("/").content.decode()
    links = [f"/discovery/crawls/{crawl.pk}/" in page for crawl in (same, news)]
    assert links == [False, True]


def test_the_overview_shows_what_is_overdue(browser: Client) -> None:
    late = timezone.now() - timedelta(minutes=5)
    for name, deadline in (("late", late), ("in-time", timezone.now())):
        Operation.objects.create(
            target_type=TargetType.DOMAIN, target_name=name, verb="save", state="running", deadline=deadline
        )
    text = browser.get("/").content.decode()
    attention = text.partition("Needs attention")[2].partition("Recent activity")[0]
    assert "Save late" in attention
    assert "It is overdue" in attention
    assert "in-time" not in attention


@pytest.mark.usefixtures("redis_server")
def test_the_overview_shows_what_came_to_nothing_until_the_same_succeeds(browser: Client) -> None:
    guest = domain(name="web-1", state="running")
    told = {"target_type": TargetType.DOMAIN, "target_id": guest.pk, "target_name": "web-1"}
    told |= {"verb": "reboot", "actor_name": "ada", "deadline": timezone.now()}
    Operation.objects.create(**told, state="unknown", problem={"type": "interrupted", "detail": ""})

    def attention() -> str:
        text = browser.get("/").content.decode()
        return text.partition("Needs attention")[2].partition("Recent activity")[0]

    assert "Reboot web-1" in attention()
    assert "asked by ada" in attention()
    assert "interrupted in the middle" in attention()
    Operation.objects.create(**told, state="succeeded")
    assert "Reboot web-1" not in attention()
    Operation.objects.create(**told, state="failed", created_at=timezone.now() - timedelta(hours=25))
    assert "Reboot web-1" not in attention()


def test_an_open_page_of_what_is_gone_is_loaded_anew(browser: Client) -> None:
    """It would go on showing it, with all that could be done to it."""
    fill()
    for url, gone in (
        (f"/domains/{Domain.objects.get().pk}/", Domain),
        (f"/hosts/{Host.objects.get().pk}/", Host),
    ):
        open_page = {"HX-Request": "true", "HX-Current-URL": f"http://testserver{url}?tab=1#devices"}
        assert "HX-Refresh" not in browser.get(url, headers=open_page).headers
        gone.objects.all().delete()
        assert browser.get(url, headers=open_page).headers["HX-Refresh"] == "true"
        assert browser.get(url).status_code == 404
        elsewhere = {"HX-Request": "true", "HX-Current-URL": "http://testserver/hosts/"}
        assert browser.get(url, headers=elsewhere).status_code == 404
