"""The connections of one driver: what one kind of call holds up must not hold up another.

libvirtd works on five calls of a connection at a time. A guest that does not let itself be saved must not
keep others from being started, nor itself from being forced off.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

from virshmanagerd.driver.link import Link
from virshmanagerd.driver.session import Session

# A change that has taken so long keeps its connection for itself.
ALONE_SECONDS: Final = 1.0


class Line(enum.Enum):
    """What a connection is for."""

    READ = "reads"
    WRITE = "changes"
    LONG = "changes that take as long as they take"
    URGENT = "forcing off, and aborting"


class Lines:
    """One link for each kind of call; those for changes are begun when they are needed."""

    def __init__(self, uri: str, make: Callable[[], Link], read: Link) -> None:
        # The test driver's domains live in the connection: there, all must use the same.
        alone = uri.startswith("test:")
        self._links = {line: read if alone or line is Line.READ else make() for line in Line}

    def session(self, line: Line) -> Session:
        """The session of a line. Raises LibvirtDown."""
        reads, link = self._links[Line.READ], self._links[line]
        session = reads.session()  # a libvirt that does not answer it needs no further attempts
        if link is reads:
            return session
        link.start()
        session = link.session()
        if session.is_occupied(ALONE_SECONDS):
            link.renew(session)
            session = link.session()
        return session

    def link(self, line: Line) -> Link:
        """The link of a line."""
        return self._links[line]

    def stop(self) -> None:
        """End all connections, without waiting for libvirt."""
        for link in self._links.values():
            link.stop()
