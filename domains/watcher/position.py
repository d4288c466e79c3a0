"""How far the events of a host are known."""

from hosts.errors import ProtocolError
from hosts.events import Event, Hello


class Position:
    """The last event that was heard. Numbers grow by one, and begin anew with each epoch of a daemon.

    As text it is what a daemon is asked for the events after: `EPOCH:SEQ`, or nothing.
    """

    def __init__(self) -> None:
        self._last: tuple[str, int] | None = None

    def __str__(self) -> str:
        return f"{self._last[0]}:{self._last[1]}" if self._last else ""

    def begin(self, hello: Hello) -> bool:
        """Take up a new stream; return whether all events since the last one follow."""
        if hello.replayed and self._last is not None:
            return True
        self._last = (hello.epoch, hello.seq)
        return False

    def advance(self, event: Event) -> bool:
        """Go on to an event; return whether it is the next one. Raises ProtocolError for one from before."""
        epoch, seq = self._last or ("", 0)
        if event.epoch == epoch and event.seq <= seq:
            raise ProtocolError("a sequence that does not grow")
        self._last = (event.epoch, event.seq)
        return event.epoch == epoch and event.seq == seq + 1

    def forget(self) -> None:
        self._last = None
