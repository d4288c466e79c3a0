"""Tickets that open one console once, within 30 s.

Redis has them under a digest: who reads its keys or its log cannot use what he sees.
"""

import hashlib
import json
import secrets
from typing import Final, NamedTuple

from django_redis import get_redis_connection

LAST_SECONDS: Final = 30
BYTES: Final = 16  # 128 bits
LONGEST: Final = 64  # characters; a ticket has 22
KEY: Final = "virshmanager:console-ticket:"


class Grant(NamedTuple):
    """What a ticket opens, and by whose login alone. `login` is a digest."""

    domain_id: int
    kind: str
    login: str


def issue(grant: Grant) -> str:
    """Return a new ticket for this. Raises RedisError."""
    ticket = secrets.token_urlsafe(BYTES)
    get_redis_connection().set(_key(ticket), json.dumps(grant), ex=LAST_SECONDS)
    return ticket


def redeem(ticket: str) -> Grant | None:
    """Return what a ticket opens, and end it; None if it is wrong, spent or late. Raises RedisError."""
    kept = get_redis_connection().getdel(_key(ticket[:LONGEST]))
    return None if kept is None else Grant(*json.loads(kept))


def _key(ticket: str) -> str:
    return KEY + hashlib.sha256(ticket.encode(errors="surrogatepass")).hexdigest()
