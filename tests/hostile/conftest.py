"""What a hostile test watches: the sockets and processes that are opened, from below all libraries."""

import sys
from collections.abc import Iterator
from typing import Any, Final

import pytest
from django.core.cache import cache
from redis import Redis

# sys.addaudithook(3): who listens is told of each of these before it is done. A hook stays for ever, so there
# is one, and whoever watches stands in this list.
RESOLVING: Final = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})
WATCHED: Final = RESOLVING | {"socket.connect", "subprocess.Popen"}
_watchers: list[list[tuple[str, tuple[Any, ...]]]] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event in WATCHED:
        for seen in _watchers:
            seen.append((event, arguments))


sys.addaudithook(_note)


class Watch:
    """What this process did since the test began."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, tuple[Any, ...]]] = []

    def __enter__(self) -> "Watch":
        _watchers.append(self._seen)
        return self

    def __exit__(self, *_: object) -> None:
        _watchers.remove(self._seen)

    @property
    def dialled(self) -> set[str]:
        """The addresses of the network, of either family, that a connection was opened to."""
        return {ip for ip, _ in self.peers}

    @property
    def peers(self) -> set[tuple[str, int]]:
        """As `dialled`, with the ports."""
        told = [arguments[1] for event, arguments in self._seen if event == "socket.connect"]
        return {(str(address[0]), address[1]) for address in told if isinstance(address, tuple)}

    @property
    def resolved(self) -> set[str]:
        """The names and addresses that the resolver was asked for."""
        return {str(arguments[0]) for event, arguments in self._seen if event in RESOLVING}

    @property
    def started(self) -> list[list[str]]:
        """The command lines of the processes that were started."""
        return [list(arguments[1]) for event, arguments in self._seen if event == "subprocess.Popen"]


@pytest.fixture
def watch() -> Iterator[Watch]:
    with Watch() as watching:
        yield watching


@pytest.fixture(autouse=True)
def nobody_has_guessed_yet(redis_server: Redis) -> None:
    """What is refused for want of Redis, or since others guessed too often, would prove nothing."""
    cache.clear()
