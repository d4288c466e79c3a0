"""How many SQL queries a list costs, whatever the size of the fleet. Lower them, never raise them."""

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from access.choices import Role
from discovery.choices import CrawlState, Kind, Phase
from discovery.models import Address, Crawl, Range
from domains.services import mirror
from hosts.models import HostAddress, Operation
from hosts.services import create_join_key
from tests.access.granting import granted
from tests.domains.factories import facts, owned_host

pytestmark = pytest.mark.django_db

# The two of each request: the token with its user, and the expired tokens of that user.
LOGIN = 1
QUERIES = {
    "/api/ranges/": LOGIN + 5,
    "/api/crawls/": LOGIN + 2,
    "/api/addresses/": LOGIN + 2,
    "/api/hosts/": LOGIN + 4,
    "/api/domains/": LOGIN + 2,
    "/api/operations/": LOGIN + 2,
    "/api/join-keys/": LOGIN + 2,
    "/api/tokens/": LOGIN + 2,
    "/api/audit/": LOGIN + 2,
    "/api/users/": LOGIN + 3,
    "/api/groups/": LOGIN + 2,
    "/api/grants/": LOGIN + 3,
    "/api/summary/": LOGIN + 8,
}


def grow(number: int) -> None:
    """Add one of everything a list shows."""
    host = owned_host(address=f"198.51.100.{number}")
    HostAddress.objects.create(host=host, ip=f"198.51.100.{number}", proved_at=timezone.now())
    mirror(host, [facts(), facts(state="running")])
    target = {"target_type": "domain", "target_id": number, "deadline": timezone.now()}
    parent = Operation.objects.create(verb="start", deadline=timezone.now(), target_type="selection")
    Operation.objects.create(verb="start", host=host, parent=parent, **target)
    range_ = Range.objects.create(cidr=f"198.51.{number}.0/24")
    Crawl.objects.create(range=range_, phase=Phase.FULL, state=CrawlState.SUCCEEDED)
    ip = f"198.51.{number}.7"
    Address.objects.create(range=range_, ip=ip, packed=ip.encode(), kind=Kind.HYPERVISOR, host=host)
    group = Group.objects.create(name=f"group {number}")
    User.objects.create_user(f"user {number}").groups.add(group)
    for on in (None, host):
        granted(group, Role.VIEWER, on)


@pytest.mark.parametrize(("path", "most"), QUERIES.items())
def test_a_list_costs_a_fixed_number_of_queries(api: APIClient, path: str, most: int) -> None:
    api.get(path)
    counts = []
    for number in range(1, 5):
        grow(number)
        create_join_key(label=str(number))
        with CaptureQueriesContext(connection) as queries:
            assert api.get(path).status_code == 200
        counts.append(len(queries))
    assert counts == [most] * 4, [query["sql"] for query in queries]
