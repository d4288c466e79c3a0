"""The Agent: calls to owned hosts, over mutual TLS.

A call dials an address, but TLS verifies the host's own name: a host that moved is found again, and no host
answers for another. One kept-alive session per host, at most four calls at a time, a breaker for hosts that
are down. Sessions and breakers belong to a process. All errors are of the tree in `errors`: the type says
whether to try again.
"""

import re
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from http.client import RemoteDisconnected
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final, Literal, NamedTuple, TypeVar

import requests
import urllib3
from requests.adapters import HTTPAdapter

from . import guards, trust
from .breaker import Breaker
from .choices import Trust
from .errors import (
    AgentError,
    BadPayload,
    CertificateOutOfDate,
    CircuitOpen,
    GivenUp,
    HostBusy,
    OutsideRanges,
    ProblemAnswer,
    ProtocolError,
    RejectedByHost,
    RetryLater,
    TimedOut,
    Unreachable,
    WrongIdentity,
)
from .models import Host
from .payloads import (
    DomainDetails,
    DomainFacts,
    HostFacts,
    a_text,
    an_object,
    domain_details,
    domain_list,
    host_facts,
    parse_json,
)
from .trust import ClientIdentity, keys

MAX_CALLS: Final = 4
MIB: Final = 2**20
# OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED.
OUT_OF_DATE: Final = frozenset({9, 10})
STATUS_OK: Final = 200

Found = TypeVar("Found")


class Timeouts(NamedTuple):
    """Seconds: for the connection with its handshake, for each silence, and for the whole call."""

    connect: float
    read: float
    total: float


# The daemon gives libvirt 5 s for a read and 10 s for a listing; its own answer needs a little longer.
READ: Final = Timeouts(connect=3, read=7, total=10)
LIST: Final = Timeouts(connect=3, read=12, total=15)


class Question(NamedTuple):
    """What is asked, and what may come back: of this media type, at most `limit` bytes."""

    path: str
    media_type: str
    timeouts: Timeouts
    limit: int


@dataclass(frozen=True)
class Agent:
    """Speaks with one owned host. All calls raise AgentError."""

    line: "Line"
    ip: str
    port: int
    insist: bool = False

    def host(self) -> HostFacts:
        """The host's inventory. Its identity is checked once more, against the one that TLS verified."""
        facts = self._checked(host_facts, self._json("/v1/host", READ, MIB // 16))
        if facts["uuid"] != self.line.host_id:
            raise ProtocolError("the inventory of another host")
        return facts

    def domains(self) -> list[DomainFacts]:
        return self._checked(domain_list, self._json("/v1/domains", LIST, 8 * MIB))

    def domain(self, domain_id: uuid.UUID) -> DomainDetails:
        details = self._checked(domain_details, self._json(f"/v1/domains/{domain_id}", READ, MIB))
        if details["uuid"] != domain_id:
            raise ProtocolError("another domain")
        return details

    def xml(self, domain_id: uuid.UUID, which: Literal["live", "inactive"] | None = None) -> str:
        """The domain's XML; of None, what is live when it is active, else what is stored."""
        query = f"?which={which}" if which else ""
        body = self._get(f"/v1/domains/{domain_id}/xml{query}", "application/xml", READ, 4 * MIB)
        try:
            return body.decode()
        except UnicodeDecodeError:
            raise ProtocolError("XML that is no UTF-8") from None

    def screenshot(self, domain_id: uuid.UUID) -> bytes:
        """A PNG of the domain's screen."""
        return self._get(f"/v1/domains/{domain_id}/screenshot", "image/png", READ, 16 * MIB)

    def _json(self, path: str, timeouts: Timeouts, limit: int) -> object:
        return self._checked(parse_json, self._get(path, "application/json", timeouts, limit))

    def _get(self, path: str, media_type: str, timeouts: Timeouts, limit: int) -> bytes:
        question = Question(path, media_type, timeouts, limit)
        return self.line.get(self.ip, self.port, question, insist=self.insist)

    @staticmethod
    def _checked(check: Callable[[Any], Found], value: object) -> Found:
        try:
            return check(value)
        except BadPayload as error:
            raise ProtocolError(str(error)) from None


def agent_of(host: Host, *, at: tuple[str, int] | None = None, insist: bool = False) -> Agent:
    """Return the Agent of an owned host, at its address or at another one.

    A probe insists: it tries also while the breaker is open, since it is how a host is found well again.

    Raises:
        GivenUp: for a host that was denied or retired.
    """
    if host.trust in {Trust.DENIED, Trust.RETIRED}:
        raise GivenUp(host.trust)
    with _lock:
        line = _lines.setdefault(host.uuid, Line(host.uuid))
    ip, port = at or (host.address, host.port)
    return Agent(line, ip, port, insist)


def hang_up(host: Host) -> None:
    """Close the connections to a host that is ours no more."""
    with _lock:
        line = _lines.pop(host.uuid, None)
    if line is not None:
        line.close()


@dataclass
class Line:
    """What this process keeps for one host: its session, its breaker and the count of its calls."""

    host_id: uuid.UUID
    breaker: Breaker = field(default_factory=Breaker)
    _room: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(MAX_CALLS))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _session: requests.Session | None = None
    _shown: str = ""

    def get(self, ip: str, port: int, question: Question, *, insist: bool) -> bytes:
        """Return the body of a good answer. Never waits for a turn, never dials outside the ranges."""
        if not guards.may_dial(ip):
            raise OutsideRanges
        host = f"[{ip}]" if ":" in ip else ip
        with self._turn(insist=insist), _deadline(question.timeouts.total):
            return _fetch(self._current_session(), f"https://{host}:{port}{question.path}", question)

    def close(self) -> None:
        with self._lock:
            if self._session is not None:
                self._session.close()
            self._session, self._shown = None, ""

    @contextmanager
    def _turn(self, *, insist: bool) -> Iterator[None]:
        if not self._room.acquire(blocking=False):
            raise HostBusy
        try:
            if not self.breaker.allows() and not insist:
                raise CircuitOpen
            with self._counted():
                yield
        finally:
            self._room.release()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Tell the breaker whether the host answered: a refusal is an answer too."""
        answered = True
        try:
            yield
        except RetryLater as error:
            answered = isinstance(error, HostBusy)
            raise
        finally:
            self.breaker.succeeded() if answered else self.breaker.failed()

    def _current_session(self) -> requests.Session:
        """The session over our certificate of today: a renewal starts a new one."""
        client = trust.server_identity()
        with self._lock:
            if self._session is None or self._shown != client.fingerprint:
                if self._session is not None:
                    self._session.close()
                self._session = _new_session(self.host_id, client)
                self._shown = client.fingerprint
            return self._session


_lock = threading.Lock()
_lines: dict[uuid.UUID, Line] = {}
_contexts: dict[str, ssl.SSLContext] = {}


def _new_session(host_id: uuid.UUID, client: ClientIdentity) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers = {"Accept-Encoding": "identity", "User-Agent": "virshmanager"}
    session.adapters.clear()
    session.mount("https://", _HostAdapter(_shared_context(client), keys.host_name(host_id)))
    return session


def _shared_context(client: ClientIdentity) -> ssl.SSLContext:
    """One context for all hosts: they differ in the name that is verified, which belongs to a connection."""
    with _lock:
        if client.fingerprint not in _contexts:
            context = client.owned_context()
            context.sslsocket_class = _DeadlineSocket
            _contexts.clear()
            _contexts[client.fingerprint] = context
        return _contexts[client.fingerprint]


class _HostAdapter(HTTPAdapter):
    """Verifies one host's name against our authority alone."""

    def __init__(self, context: ssl.SSLContext, name: str) -> None:
        self._tls = {"ssl_context": context, "server_hostname": name}
        super().__init__(pool_connections=2, pool_maxsize=MAX_CALLS)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:  # noqa: FBT001, FBT002
        super().init_poolmanager(connections, maxsize, block, **more, **self._tls)

    def cert_verify(self, *args: Any) -> None:
        """Nothing: the base class would make our context trust the public authorities too."""


_call_ends_at: ContextVar[float] = ContextVar("call_ends_at")


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    token = _call_ends_at.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _call_ends_at.reset(token)


# How a connection ends that the other side closed while we wrote or read.
CUT: Final = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)


class _CutOff(ConnectionResetError):
    """Reset or closed after a good handshake, before the first byte."""


class _DeadlineSocket(ssl.SSLSocket):
    """Every read ends with the call's deadline: `requests` alone lets a slow drip go on for ever."""

    _heard = False

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        left = _call_ends_at.get() - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline of the call has passed")
        timeout = self.gettimeout()
        self.settimeout(left if timeout is None else min(timeout, left))
        with self._first_exchange():
            size = super().recv_into(*args, **kwargs)
        if not self._heard and not size:
            raise _CutOff
        self._heard = True
        return size

    def send(self, *args: Any) -> int:
        with self._first_exchange():
            return super().send(*args)

    @contextmanager
    def _first_exchange(self) -> Iterator[None]:
        try:
            yield
        except CUT as error:
            if self._heard:
                raise
            raise _CutOff from error


def _fetch(session: requests.Session, url: str, question: Question) -> bytes:
    try:
        with _send(session, url, question.timeouts) as response:
            # One byte more than may come tells that there is more; what follows is never read.
            body: bytes = response.raw.read(question.limit + 1, decode_content=False)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _translated(error) from error
    _check(response, body, question)
    return body


def _send(session: requests.Session, url: str, timeouts: Timeouts) -> requests.Response:
    for last_try in (False, True):
        try:
            return session.get(
                url, stream=True, allow_redirects=False, timeout=(timeouts.connect, timeouts.read)
            )
        except requests.ConnectionError as error:
            # The daemon closes what idles: a kept-alive connection may end just as it is used again.
            if last_try or not _has_cause(error, (RemoteDisconnected, *CUT)):
                raise
    raise AssertionError


def _check(response: requests.Response, body: bytes, question: Question) -> None:
    if len(body) > question.limit:
        raise ProtocolError(f"more than {question.limit} bytes")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise ProtocolError("an encoding that was not asked for")
    found = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if found == "application/problem+json":
        raise _problem(response.status_code, body)
    if response.status_code != STATUS_OK or found != question.media_type:
        raise ProtocolError(f"status {response.status_code} of type {found[:50]!r}")


def _problem(status: int, body: bytes) -> AgentError:
    try:
        data = an_object(parse_json(body), "the problem")
        word, detail = a_text(data, "type", 40), a_text(data, "detail", 500) or a_text(data, "title")
    except BadPayload as error:
        return ProtocolError(str(error))
    if not re.fullmatch("[a-z][a-z_]*", word):
        return ProtocolError("a problem without a type")
    by_type: dict[str, type[AgentError]] = {
        "queue_full": HostBusy,
        "hypervisor_busy": HostBusy,
        "not_owned": RejectedByHost,
    }
    return by_type[word]() if word in by_type else ProblemAnswer(word, status, detail)


def _translated(error: Exception) -> AgentError:
    """The one table from foreign errors to ours."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return CertificateOutOfDate() if cause.verify_code in OUT_OF_DATE else WrongIdentity()
        if isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or ""):
            # In TLS 1.3 a refused client certificate shows only when the client first reads.
            return RejectedByHost()
        if isinstance(cause, _CutOff):
            # Our request crossed its alert, and the reset that followed took the alert away.
            return RejectedByHost()
    table: tuple[tuple[type[Exception], type[AgentError]], ...] = (
        (requests.ConnectTimeout, Unreachable),
        (requests.Timeout, TimedOut),
        (urllib3.exceptions.TimeoutError, TimedOut),
    )
    return next((ours() for foreign, ours in table if isinstance(error, foreign)), Unreachable())


def _has_cause(error: BaseException, kinds: tuple[type[BaseException], ...]) -> bool:
    return any(isinstance(cause, kinds) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it wraps: `requests` and `urllib3` put causes into arguments and `reason`."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        found = waiting.pop()
        if isinstance(found, BaseException) and id(found) not in seen:
            seen.add(id(found))
            yield found
            waiting += [*found.args, getattr(found, "reason", None), found.__cause__, found.__context__]
