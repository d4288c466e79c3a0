"""Join keys: what may not be made, and that each use is counted once."""

import io
import json
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from hosts import services, trust
from hosts.errors import BadInput
from hosts.models import Host, JoinKey
from hosts.services.join_keys import choose, count_use
from hosts.trust.protocol import derive_key

from .factories import a_host

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("client_identity")]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("cidrs", ["10.0.0.1/8"]),
        ("cidrs", ["10.0.0.0/8 --script=x"]),
        ("cidrs", ["everywhere"]),
        ("expires_in", timedelta(0)),
        ("expires_in", timedelta(days=-1)),
        ("expires_in", timedelta(days=367)),
        ("max_uses", 0),
        ("max_uses", -1),
        ("max_uses", 1_000_001),
        ("label", "x" * 101),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(field: str, wrong: Any) -> None:
    with pytest.raises(BadInput) as caught:
        services.create_join_key(**{field: wrong})
    assert field in caught.value.message_dict
    assert not JoinKey.objects.exists()


def test_the_secret_is_told_once_and_not_kept(ada: User) -> None:
    key, join = services.create_join_key(label="rack 4", cidrs=["10.0.0.0/8", "2001:db8::/32"], actor=ada)
    secret = b64decode(str(join["secret"]))
    assert len(secret) == 32
    assert bytes(key.derived_key) == derive_key(secret)
    assert secret not in bytes(key.derived_key)
    assert join["key_id"] == str(key.id)
    assert join["ca"] == trust.ca().pem
    assert join["version"] == 1
    assert str(join["expires_at"]).endswith("Z")
    assert key.expires_at - timezone.now() <= timedelta(days=1)
    assert key.created_by == ada


def test_the_first_good_key_is_chosen_and_the_last_refusal_told() -> None:
    host = a_host(trust="found")
    revoked, good = (services.create_join_key()[0] for _ in range(2))
    services.revoke_join_key(revoked)
    assert choose([], host, "127.0.0.1") == (None, "no_join_key")
    assert choose([uuid4()], host, "127.0.0.1") == (None, "join_key_unknown")
    assert choose([uuid4(), revoked.id], host, "127.0.0.1") == (None, "join_key_revoked")
    assert choose([uuid4(), revoked.id, good.id], host, "127.0.0.1") == (good, "")


@pytest.mark.parametrize(
    ("ip", "allowed"),
    [("10.1.2.3", True), ("192.0.2.1", False), ("2001:db8::1", True), ("2001:db9::1", False)],
)
def test_networks(ip: str, *, allowed: bool) -> None:
    key, _ = services.create_join_key(cidrs=["10.0.0.0/8", "2001:db8::/32"])
    expected = (key, "") if allowed else (None, "join_key_wrong_network")
    assert choose([key.id], a_host(trust="found"), ip) == expected


def test_a_use_is_counted_once_per_host() -> None:
    key, _ = services.create_join_key(max_uses=1)
    first, second = a_host(trust="found"), a_host(trust="found")
    assert count_use(key, first)
    assert count_use(key, Host.objects.get(pk=first.pk))
    assert not count_use(key, second)
    key.refresh_from_db()
    assert key.uses == 1
    assert Host.objects.get(pk=second.pk).join_key is None
    assert choose([key.id], Host.objects.get(pk=first.pk), "127.0.0.1") == (key, "")
    assert choose([key.id], second, "127.0.0.1") == (None, "join_key_spent")


@pytest.mark.django_db(transaction=True)
def test_many_hosts_at_once_do_not_overspend_a_key() -> None:
    key, _ = services.create_join_key(max_uses=5)
    hosts = [a_host(trust="found") for _ in range(20)]

    def use(host: Host) -> bool:
        try:
            return count_use(key, host)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(use, hosts)) == 5
    key.refresh_from_db()
    assert key.uses == 5


def test_revoking_twice_keeps_the_first_time() -> None:
    key, _ = services.create_join_key()
    services.revoke_join_key(key)
    first = key.revoked_at
    services.revoke_join_key(key)
    assert (key.state, key.revoked_at) == ("revoked", first)


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("join_key", *arguments, stdout=out, skip_checks=True)
    return out.getvalue()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["create", "--expires-in", "7y"],
        ["create", "--expires-in", "-1"],
        ["create", "--cidr", "10.0.0.1/8"],
        ["create", "--max-uses", "0"],
        ["create", "--approve", "maybe"],
        ["revoke", "x"],
        ["revoke", str(uuid4())],
    ],
)
def test_wrong_arguments_make_no_key(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        run(*arguments)
    assert not JoinKey.objects.exists()


def test_create_prints_the_file_alone_and_list_no_secret() -> None:
    options = ["--label", "rack 4", "--cidr", "10.0.0.0/8", "--expires-in", "7d", "--max-uses", "3"]
    join = json.loads(run("create", *options, "--approve", "pending"))
    key = JoinKey.objects.get()
    assert join["key_id"] == str(key.id)
    assert (key.label, key.cidrs, key.max_uses, key.approve) == ("rack 4", ["10.0.0.0/8"], 3, "pending")
    listed = run("list")
    assert str(key.id) in listed
    assert "rack 4" in listed
    assert join["secret"] not in listed
    run("revoke", str(key.id))
    assert JoinKey.objects.get().state == "revoked"
