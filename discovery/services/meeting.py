"""Who is behind the open ports: identified many at a time, and met by `hosts`, which enrols them."""

from collections.abc import Iterable
from concurrent.futures import Future

from hosts import services, trust
from hosts.identify import Endpoint, Identity, Result, Stranger, identify_many

from ..choices import Kind
from .records import Answer
from .threads import database_threads

# Meeting waits for a daemon's answers more than it computes.
MEETERS = 16
# What a daemon that restarts or is busy looks like: no evidence that it is gone.
PASSING = frozenset({"too_slow", "refused", "unreachable"})


def meet_all(endpoints: Iterable[Endpoint]) -> dict[str, Answer]:
    """Ask all who they are, and let `hosts` meet those that prove it. Returns an answer by IP.

    One that hangs delays no other, and costs at most its own deadline. Who was too slow is asked once more
    when the others have been met: while hundreds enrol, it may be this machine that was slow.
    """
    asked = list(endpoints)
    answers = _meet_once(asked)
    slow = [endpoint for endpoint in asked if answers[endpoint[0]].reason == "too_slow"]
    return answers | _meet_once(slow) if slow else answers


def _meet_once(endpoints: Iterable[Endpoint]) -> dict[str, Answer]:
    answers: dict[str, Answer] = {}
    meetings: dict[str, Future[Answer]] = {}

    def heard(endpoint: Endpoint, result: Result) -> None:
        ip, port = endpoint
        if isinstance(result, Identity):
            meetings[ip] = pool.submit(_meet, ip, port, result)
        else:
            services.note_stranger(ip, result)
            answers[ip] = answer_of_stranger(result)

    with database_threads(MEETERS, "meet") as pool:
        identify_many(endpoints, client=trust.server_identity(), on_result=heard)
    return answers | {ip: meeting.result() for ip, meeting in meetings.items()}


def _meet(ip: str, port: int, identity: Identity) -> Answer:
    return answer_of_meeting(services.meet(ip, port, identity))


def answer_of_meeting(meeting: services.Meeting) -> Answer:
    if meeting.host is None:
        return Answer(Kind.FOREIGN, meeting.outcome)
    return Answer(Kind.HYPERVISOR, "", meeting.host.pk)


def answer_of_stranger(stranger: Stranger) -> Answer:
    # nmap saw it open, and it is closed now: whoever it was is no service of this port any more.
    closed = stranger.reason in {"refused", "unreachable"}
    return Answer(Kind.OTHER if closed else Kind.FOREIGN, stranger.reason)
