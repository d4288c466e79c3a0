"""Mutual TLS and HTTP to one host: what is trusted, when a read ends, and what an error means."""

import re
import socket
import ssl
import struct
import threading
import uuid
from collections.abc import Iterator
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final, NamedTuple

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

from ..errors import (
    AgentError,
    BadPayload,
    CertificateOutOfDate,
    HostBusy,
    ProblemAnswer,
    ProtocolError,
    RejectedByHost,
    TimedOut,
    Unreachable,
    WrongIdentity,
)
from ..trust import ClientIdentity, keys
from ..untrusted import a_text, an_object, parse_json
from .deadlines import CUT, CutOff, DeadlineSocket, current_call

# OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED.
OUT_OF_DATE: Final = frozenset({9, 10})
# The alerts of who speaks another TLS than we offer.
OTHER_TLS: Final = frozenset({"TLSV1_ALERT_PROTOCOL_VERSION", "SSLV3_ALERT_HANDSHAKE_FAILURE"})
# The parsers' errors: of the standard library, and of urllib3 above it.
NO_HTTP: Final = (HTTPException, urllib3.exceptions.InvalidHeader)
STATUSES_OK: Final = frozenset({200, 202})
# A socket option: closing throws away what the other side has not acknowledged. The kernel would go on
# sending it for minutes, and what was given up would be done after a partition.
FORGET_UNSENT: Final = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Timeouts(NamedTuple):
    """Seconds: for the connection with its handshake, for each silence, and for the whole call."""

    connect: float
    read: float
    total: float

    def shortened(self, seconds: float) -> "Timeouts":
        """The same for somebody who waits no longer than so many seconds."""
        return Timeouts(*(min(own, seconds) for own in self))


class Question(NamedTuple):
    """What is asked, and what may come back: of this media type, at most `limit` bytes.

    `body` is JSON. It may be sent twice: only what does no harm when repeated is asked.
    """

    path: str
    media_type: str
    timeouts: Timeouts
    limit: int
    method: str = "GET"
    body: bytes | None = None


_lock = threading.Lock()
_contexts: dict[str, ssl.SSLContext] = {}


def new_session(host_id: uuid.UUID, client: ClientIdentity, connections: int) -> requests.Session:
    """Return a session that reaches this host alone, whatever address it is given."""
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers = {"Accept-Encoding": "identity", "User-Agent": "virshmanager"}
    session.adapters.clear()
    session.mount("https://", _HostAdapter(shared_context(client), keys.host_name(host_id), connections))
    return session


def shared_context(client: ClientIdentity) -> ssl.SSLContext:
    """One context for all hosts: they differ in the name that is verified, which belongs to a connection."""
    with _lock:
        if client.terms not in _contexts:
            context = client.owned_context()
            context.sslsocket_class = DeadlineSocket
            _contexts.clear()
            _contexts[client.terms] = context
        return _contexts[client.terms]


class _HostAdapter(HTTPAdapter):
    """Verifies one host's name against our authority alone."""

    def __init__(self, context: ssl.SSLContext, name: str, connections: int) -> None:
        self._tls = {"ssl_context": context, "server_hostname": name}
        super().__init__(pool_connections=2, pool_maxsize=connections)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:  # noqa: FBT001, FBT002
        options = [*HTTPConnection.default_socket_options, FORGET_UNSENT]
        super().init_poolmanager(connections, maxsize, block, socket_options=options, **more, **self._tls)

    def cert_verify(self, *args: Any) -> None:
        """Nothing: the base class would make our context trust the public authorities too."""


def fetch(session: requests.Session, url: str, question: Question) -> bytes:
    """Return the body of a good answer to a question.

    Raises:
        AgentError: for everything else.
    """
    try:
        with _send(session, url, question) as response:
            body = _body(response, question.limit)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        failure = translated(error)
        failure.may_have_arrived = current_call().spoke
        raise failure from error
    except ValueError as error:
        # A chunk of negative length, a redirect to no address: not all nonsense has an error of its own.
        raise ProtocolError("no HTTP") from error
    _check(response, body, question)
    return body


def _body(response: requests.Response, limit: int) -> bytes:
    """The whole body, or one byte more than may come: what follows is never read."""
    body = b""
    # One read may yield less than there is. Only that which yields nothing tells an end that comes too early.
    while len(body) <= limit and (more := response.raw.read(limit + 1 - len(body), decode_content=False)):
        body += more
    return body


def _send(session: requests.Session, url: str, question: Question) -> requests.Response:
    headers = None if question.body is None else {"Content-Type": "application/json"}
    timeouts = question.timeouts
    for last_try in (False, True):
        try:
            return session.request(
                question.method,
                url,
                data=question.body,
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=(timeouts.connect, timeouts.read),
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
        raise refusal(response.status_code, body)
    if response.status_code not in STATUSES_OK or found != question.media_type:
        raise ProtocolError(f"status {response.status_code} of type {found[:50]!r}")


def refusal(status: int, body: bytes) -> AgentError:
    """What a problem document of the daemon (RFC 9457) means."""
    try:
        return problem_answer(status, parse_json(body))
    except BadPayload as error:
        return ProtocolError(str(error))


def problem_answer(status: int, document: object) -> AgentError:
    """As `refusal`, of JSON that is parsed."""
    try:
        data = an_object(document, "the problem")
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


def translated(error: Exception) -> AgentError:
    """The one table from foreign errors to ours."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError) and (meant := _of_tls(cause)):
            return meant
        if isinstance(cause, CutOff):
            # Our request crossed its alert, and the reset that followed took the alert away.
            return RejectedByHost()
        if isinstance(cause, NO_HTTP) and not isinstance(cause, RemoteDisconnected | IncompleteRead):
            return ProtocolError("no HTTP")
    table: tuple[tuple[type[Exception], type[AgentError]], ...] = (
        (requests.ConnectTimeout, Unreachable),
        (requests.Timeout, TimedOut),
        (urllib3.exceptions.TimeoutError, TimedOut),
    )
    return next((ours() for foreign, ours in table if isinstance(error, foreign)), Unreachable())


def _of_tls(error: ssl.SSLError) -> AgentError | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateOutOfDate() if error.verify_code in OUT_OF_DATE else WrongIdentity()
    if error.reason in OTHER_TLS:
        return ProtocolError("no TLS 1.3")
    # In TLS 1.3 a refused client certificate shows only when the client first reads.
    return RejectedByHost() if "ALERT" in (error.reason or "") else None


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
