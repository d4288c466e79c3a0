"""Who answers at an address: a daemon that proves its identity, or a stranger and why.

An identity is believed only when it is the one that the key of the TLS handshake gives. All that a peer
says before that is hostile: it is capped, and one deadline covers everything, so that no drip extends it.
"""

import asyncio
import hashlib
import http.client
import logging
import queue
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal
from uuid import UUID

from cryptography import x509

from . import strangers
from .errors import BadPayload
from .strangers import CertificateDemanded, Reason, StrangerError
from .trust import keys
from .trust.client import ClientIdentity, stranger_context
from .untrusted import a_list, a_uuid, an_object, parse_json, text_item

logger = logging.getLogger(__name__)

DEADLINE: Final = 3.0
CONCURRENCY: Final = 64
API_VERSION: Final = "1"
PATH: Final = "/.well-known/virshmanager"

State = Literal["unclaimed", "enrolling", "owned"]
Endpoint = tuple[str, int]


@dataclass(frozen=True)
class Identity:
    """A daemon that proved its key. `enrol` holds the ids of the join keys that it has; `api` its versions.

    `owned_by_us` is true when it shows a certificate of our authority; `clock_skew` says by how many seconds
    its clock is ahead of ours, when it told.
    """

    uuid: UUID
    public_key_sha256: str
    certificate_der: bytes = field(repr=False)
    state: State
    enrol: tuple[UUID, ...] = ()
    api: tuple[str, ...] = (API_VERSION,)
    owned_by_us: bool = False
    clock_skew: int | None = None

    @property
    def public_key(self) -> bytes:
        """SubjectPublicKeyInfo of the key in the handshake, in DER."""
        return keys.spki(keys.certificate_key(self.certificate_der))


@dataclass(frozen=True)
class Stranger:
    """Something that is no daemon of ours. A claim without proof names the key that was seen with it."""

    reason: Reason
    public_key_sha256: str = ""
    claimed: UUID | None = None


Result = Identity | Stranger


def identify(
    ip: str, port: int, *, deadline: float = DEADLINE, client: ClientIdentity | None
) -> Identity | Stranger:
    """Ask who answers at `ip` and `port`, for at most `deadline` seconds in all.

    Without `client`, a peer that demands a certificate stays a stranger (`demands_certificate`).
    """
    return asyncio.run(Prober(client).identify(ip, port, deadline))


def identify_many(
    endpoints: Iterable[Endpoint],
    *,
    client: ClientIdentity | None,
    on_result: Callable[[Endpoint, Result], None],
    concurrency: int = CONCURRENCY,
    deadline: float = DEADLINE,
) -> None:
    """Identify all, `concurrency` at a time; `on_result` runs in the caller's thread as answers come.

    An exception in `on_result` ends the probing, and is raised again here.
    """
    crowd = _Crowd(Prober(client), iter(endpoints), concurrency, deadline)
    crowd.start()
    try:
        while (item := crowd.results.get()) is not None:
            on_result(*item)
    finally:
        crowd.stop()
    if crowd.failure is not None:
        raise crowd.failure


class Prober:
    """Identifies peers with contexts that are made once: making one costs more than a handshake."""

    def __init__(self, client: ClientIdentity | None) -> None:
        self.client = client
        self.anonymous = stranger_context()
        self.introducing = client.introducing_context() if client else None

    async def identify(self, ip: str, port: int, deadline: float = DEADLINE) -> Result:
        try:
            async with asyncio.timeout(deadline):
                return await self._identify(ip, port)
        except TimeoutError:
            return Stranger("too_slow")
        except StrangerError as error:
            return Stranger(error.reason)
        except OSError:
            raise  # of this machine, such as no sockets left: those of the connection are strangers' reasons
        except Exception:
            # What nobody foresaw in one answer ends this conversation, never those with all others.
            logger.exception("The answer of %s port %s was not understood", ip, port)
            return Stranger("not_virshmanager")

    async def _identify(self, ip: str, port: int) -> Result:
        try:
            return self._judge(await self._ask(ip, port, self.anonymous))
        except CertificateDemanded:
            if self.introducing is None:
                return Stranger("demands_certificate")
        try:
            return self._judge(await self._ask(ip, port, self.introducing))
        except CertificateDemanded:
            return Stranger("owned_by_another")

    @staticmethod
    async def _ask(ip: str, port: int, context: ssl.SSLContext) -> strangers.Answer:
        return await strangers.call(ip, port, context, strangers.request("GET", PATH, ip))

    def _judge(self, answer: strangers.Answer) -> Result:
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if answer.status != http.client.OK or media_type != "application/json":
            return Stranger("not_virshmanager")
        try:
            claim = _Claim.read(answer.body)
            public_key = keys.spki(keys.certificate_key(answer.certificate))
        except ValueError:
            return Stranger("not_virshmanager")
        digest = hashlib.sha256(public_key).hexdigest()
        if claim.id != keys.daemon_id(public_key):
            return Stranger("identity_mismatch", digest, claim.id)
        ours = claim.state == "owned" and self._is_ours(answer.certificate)
        return Identity(
            uuid=claim.id,
            public_key_sha256=digest,
            certificate_der=answer.certificate,
            state=claim.state,
            enrol=claim.enrol,
            api=claim.api,
            owned_by_us=ours,
            clock_skew=answer.clock_skew,
        )

    def _is_ours(self, der: bytes) -> bool:
        if self.client is None:
            return False
        certificate = x509.load_der_x509_certificate(der)
        in_date = certificate.not_valid_before_utc <= datetime.now(UTC) <= certificate.not_valid_after_utc
        return in_date and self.client.authority.believes(certificate)


@dataclass(frozen=True)
class _Claim:
    """The identity document, checked; not yet believed."""

    id: UUID
    state: State
    enrol: tuple[UUID, ...]
    api: tuple[str, ...]

    @classmethod
    def read(cls, body: bytes) -> "_Claim":
        data = an_object(parse_json(body), "the identity")
        state = data.get("state")
        if data.get("product") != "virshmanager" or state not in ("unclaimed", "enrolling", "owned"):
            raise BadPayload("no identity")
        methods = a_list(data, "enrol", 20, lambda item: an_object(item, "a method"))
        joins = [
            a_uuid(method.get("key_id"), "key_id") for method in methods if method.get("method") == "join"
        ]
        api = a_list(data, "api", 20, text_item)
        return cls(a_uuid(data.get("id"), "id"), state, tuple(joins), tuple(api))


class _Crowd(threading.Thread):
    """An event loop in a thread of its own: Django's models refuse to work in a thread that runs one."""

    def __init__(
        self, prober: Prober, endpoints: Iterator[Endpoint], concurrency: int, deadline: float
    ) -> None:
        super().__init__(name="identify", daemon=True)
        self.results: queue.SimpleQueue[tuple[Endpoint, Result] | None] = queue.SimpleQueue()
        self.failure: BaseException | None = None
        self._prober = prober
        self._endpoints = endpoints
        self._concurrency = concurrency
        self._deadline = deadline
        self._stopped = threading.Event()

    def run(self) -> None:
        try:
            asyncio.run(self._work())
        except Exception as error:  # noqa: BLE001 -- raised again in the caller's thread
            self.failure = error
        finally:
            self.results.put(None)

    def stop(self) -> None:
        """End after the running probes, at most one deadline later."""
        self._stopped.set()
        self.join()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._concurrency):
                group.create_task(self._probe_in_turn())

    async def _probe_in_turn(self) -> None:
        for ip, port in self._endpoints:
            if self._stopped.is_set():
                return
            self.results.put(((ip, port), await self._prober.identify(ip, port, self._deadline)))
