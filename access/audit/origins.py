"""Who acts, by what and from where: as the request at hand says, or else the process."""

import ipaddress
import os
import pwd
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Final, NamedTuple

from django.contrib.auth.models import User
from django.http import HttpRequest

from ..choices import Via
from ..models import ApiToken

# Parts of the server that are started by `manage.py`: no person is at work there.
SERVICES: Final = frozenset({"watch"})

_request: ContextVar[HttpRequest | None] = ContextVar("audited_request", default=None)


class Actor(NamedTuple):
    """A user as he was called then; without an id one who has no account here."""

    id: int | None
    name: str

    @classmethod
    def of(cls, user: User) -> "Actor":
        return cls(user.pk, user.get_username())


class Origin(NamedTuple):
    """`via_name` names the token or the command; `source` is an IP address, or empty."""

    actor: Actor
    via: Via
    via_name: str = ""
    source: str = ""


NOBODY: Final = Actor(None, "")
SYSTEM: Final = Origin(Actor(None, "system"), Via.SYSTEM)


@contextmanager
def serving(request: HttpRequest) -> Iterator[None]:
    """What is recorded meanwhile was asked for by this request."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


def origin() -> Origin:
    """The origin of what is being done now."""
    request = _request.get()
    return _of_process(sys.argv) if request is None else of_request(request)


def of_request(request: HttpRequest) -> Origin:
    """REST framework tells Django's request, too, which user and token it found."""
    source = address_of(request.META.get("REMOTE_ADDR"))
    user, token = getattr(request, "user", None), getattr(request, "auth", None)
    if not isinstance(user, User):  # also of a user that is looked up only when he is needed
        return Origin(NOBODY, Via.STRANGER, source=source)
    if isinstance(token, ApiToken):
        return Origin(Actor.of(user), Via.TOKEN, token.name, source)
    return Origin(Actor.of(user), Via.SESSION, source=source)


def _of_process(argv: list[str]) -> Origin:
    if Path(argv[0]).name != "manage.py" or len(argv) == 1 or argv[1] in SERVICES:
        return SYSTEM
    return Origin(Actor(None, _login_name()), Via.COMMAND, argv[1])


def _login_name() -> str:
    """The user of the operating system; of one without a name its number."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def address_of(peer: object) -> str:
    """The peer as the web server has it: it reads a proxy's header only where one is declared."""
    try:
        return str(ipaddress.ip_address(str(peer)))
    except ValueError:
        return ""
