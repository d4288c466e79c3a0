"""One host: its settings, its identity, who owns it, and the hypervisor behind it.

Everything that a connection must know of trust is one immutable ``Trust``, replaced as a whole.
Its generation grows whenever connections of before may no longer be believed.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import ssl
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from virshmanagerd import adoptcode, certificates, files, identity, journal, tls
from virshmanagerd.adoptcode import AdoptCode, CodeFile
from virshmanagerd.adoption import Adoption, Starts
from virshmanagerd.attempts import Attempts
from virshmanagerd.certificates import CertificateError
from virshmanagerd.consoles import Consoles
from virshmanagerd.joinkey import JoinFile, JoinKey
from virshmanagerd.journal import JournalUnwritable
from virshmanagerd.operations import Operations
from virshmanagerd.outbox import Outbox
from virshmanagerd.ownership import Enrolment, Owner, Ownership, OwnershipError
from virshmanagerd.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography import x509

    from virshmanagerd.config import Config
    from virshmanagerd.driver import Driver
    from virshmanagerd.identity import Identity
    from virshmanagerd.operations import Document
    from virshmanagerd.web import Peer

logger = logging.getLogger(__name__)

ENROL_BURST = 20
ENROL_EVERY = 3.0


@dataclass(frozen=True)
class Trust:
    """What connections are judged by. ``changed_by`` may still get the answer to its last request.

    ``authorities`` are those of the terms. One may leave while the generation stays.
    """

    generation: int
    context: ssl.SSLContext
    terms: tls.Terms
    authorities: tuple[x509.Certificate, ...]
    changed_by: int = 0

    @cached_property
    def _fingerprints(self) -> frozenset[bytes]:
        return frozenset(map(certificates.fingerprint, self.authorities))

    def believes(self, peer: Peer) -> bool:
        """Say whether what TLS found out about a peer still counts."""
        if peer.generation != self.generation:
            return False
        return peer.certificate is None or peer.certificate.authority in self._fingerprints


class Daemon:
    """One host, real or simulated. Its methods may be called from any thread."""

    def __init__(self, config: Config, driver: Driver) -> None:
        """Read the state directory, or make it.

        Raises:
            IdentityError: when key or identity cannot be read.
            OwnershipError: when the owner's file is damaged, or what is in it.
        """
        self.config = config
        self.driver = driver
        self.outbox = Outbox(driver.event_epoch)
        driver.tell(self.outbox)
        self.sampler = Sampler(driver)
        self.consoles = Consoles(driver)
        self.attempts = Attempts(ENROL_BURST, ENROL_EVERY)
        self.starts = Starts()
        self._lock = threading.RLock()
        self._key_file = config.state_dir / identity.KEY
        self._join_file = JoinFile(config.join_file, config.state_dir)
        self._code_file = CodeFile(config.state_dir)
        self._generations = itertools.count(1)
        self._load()
        self.operations = self._new_operations()

    def _load(self) -> None:
        self.identity: Identity = identity.load(self.config)
        self._key_seen = files.signature(self._key_file)
        self._key_pem = certificates.key_to_pem(self.identity.key)
        self._self_signed = certificates.certificate_to_pem(certificates.self_signed(self.identity.key))
        self.ownership = Ownership(self.config.state_dir / identity.OWNER)
        if self.ownership.owner:  # a crash may have come between storing and wiping
            if self._join_file.read():
                self._join_file.spend(self.ownership.owner.key_id)
            self._code_file.spend()
        try:
            self.trust = self._trust(changed_by=0)
        except (ssl.SSLError, CertificateError) as error:  # a join key's CA was tried before
            raise OwnershipError(f"the owner's certificates cannot be used: {error}") from None

    def _new_operations(self) -> Operations:
        def tell(document: Document) -> None:
            self.outbox.publish("operation.changed", operation=document)

        return Operations(self.config.state_dir, self.driver, tell)

    @property
    def journal_id(self) -> str | None:
        """The name of the operations' journal; None while it cannot be opened."""
        try:
            return self.operations.journal_id
        except JournalUnwritable:
            return None

    def join_key(self) -> JoinKey | None:
        """Return the join key on this host, expired or not; None when owned."""
        with self._lock:
            return None if self.ownership.owner else self._join_file.read()

    def usable_join_key(self) -> JoinKey | None:
        """Return the join key by which this host can be enrolled now, or None."""
        key = self.join_key()
        return key if key and not key.expired(certificates.now()) else None

    def adopt_code(self) -> AdoptCode | None:
        """Return the adopt code of this host, expired or not; None when it is owned or has none."""
        with self._lock:
            return None if self.ownership.owner else self._code_file.read()

    def adopt_salt(self) -> bytes:
        """Return the salt of adopt codes for now, whether there is a code or not."""
        return adoptcode.salt(self.identity.key, certificates.now())

    def is_owner(self, peer: Peer) -> bool:
        """Say whether the peer is the owner's server, now."""
        with self._lock:
            owner = self.ownership.owner
            return owner is not None and self._server(peer) == owner.server_id

    def enrolment_of(self, peer: Peer) -> Enrolment | None:
        """Return the running enrolment when the peer may finish it, else None.

        By join key that is the peer who has proven himself. By code it is anyone, since the end is proven in
        the request itself; and none any more when another code was made since.
        """
        with self._lock:
            running = self.ownership.enrolment
            if running and running.adoption:
                return running if running.adoption.code == self.adopt_code() else None
            if running is None or peer.certificate is None:
                return None
            same = peer.certificate.fingerprint == running.prover
            return running if same and self._server(peer) == running.server_id else None

    def _server(self, peer: Peer) -> str | None:
        if peer.certificate is None or not self.trust.believes(peer):
            return None
        return peer.certificate.server(certificates.now())

    def proven_server(self, peer: Peer) -> str | None:
        """Return the id of the server that TLS and its certificate prove the peer to be, or None."""
        with self._lock:
            return self._server(peer)

    def begin_enrolment(self, peer: Peer, key: JoinKey) -> bool:
        """Wait for the proven peer to finish. False when he is not proven (any more)."""
        with self._lock:
            server_id = self._server(peer)
            if self.ownership.owner or server_id is None or peer.certificate is None:
                return False
            self.ownership.begin(peer.certificate.fingerprint, server_id, key.ca, key.key_id)
            self._refresh(changed_by=0)
            return True

    def begin_adoption(self, adoption: Adoption, ca: str) -> bool:
        """Wait for the server that proved the adopt code to finish. False when the code is spent by now."""
        with self._lock:
            if adoption.code != self.adopt_code():
                return False
            self.ownership.begin_adoption(adoption, ca)
            return True

    def become_owned(self, peer: Peer, running: Enrolment, certificate: str) -> bool:
        """Store the owner, wipe join key and adopt code, and end all connections but the answer to ``peer``.

        ``certificate`` (PEM) was checked against ``running``. False when that enrolment is not the
        running one any more: it ended, or somebody proved himself in the meantime.

        Raises:
            ssl.SSLError: when TLS does not take the certificate; then nothing has changed.
            OSError: when the owner cannot be stored; then nothing has changed.
        """
        with self._lock:
            if self.enrolment_of(peer) is not running:
                return False
            owner = Owner(running.server_id, running.ca, certificate, running.key_id)
            tls.make_context(self._owned_terms(owner))
            self.ownership.finish(owner)
            self._join_file.spend(running.key_id)
            self._code_file.spend()
            self._refresh(changed_by=peer.connection)
            logger.info("this host is owned by the server %s now", running.server_id)
            return True

    def renew(self, peer: Peer, certificate: str) -> bool:
        """Show another certificate (PEM) of the same owner from now on; what is open stays open.

        ``certificate`` was checked. False when the peer is not the owner any more.

        Raises:
            ssl.SSLError: when TLS does not take the certificate; then nothing has changed.
            OSError: when it cannot be stored; then nothing has changed.
        """
        with self._lock:
            owner = self.ownership.owner
            if owner is None or not self.is_owner(peer):
                return False
            renewed = dataclasses.replace(owner, certificate=certificate)
            context = tls.make_context(self._owned_terms(renewed))
            self.ownership.finish(renewed)
            # Whom TLS believes has not changed: connections of before are as good as those to come.
            self.trust = dataclasses.replace(self.trust, context=context, terms=self._terms())
            logger.info("the certificate of this host was renewed")
            return True

    def change_authorities(self, peer: Peer, cas: Sequence[x509.Certificate]) -> bool:
        """Believe the same owner by these authorities alone; what was opened by others ends.

        False when the peer is not the owner any more.

        Raises:
            CertificateError: when the peer's certificate, or the host's, is of none of them.
            ssl.SSLError: when TLS does not take them; then nothing has changed.
            OSError: when they cannot be stored; then nothing has changed.
        """
        with self._lock:
            owner = self.ownership.owner
            if owner is None or peer.certificate is None or not self.is_owner(peer):
                return False
            if peer.certificate.authority not in map(certificates.fingerprint, cas):
                raise CertificateError("your own certificate is of none of these authorities")
            if certificates.issuer_of(certificates.certificate_from_pem(owner.certificate), cas) is None:
                raise CertificateError("the certificate of this host is of none of them: renew it before")
            pem = "".join(map(certificates.certificate_to_pem, cas))
            changed = dataclasses.replace(owner, ca=pem)
            context = tls.make_context(self._owned_terms(changed))
            self.ownership.finish(changed)
            self.trust = dataclasses.replace(
                self.trust, context=context, terms=self._terms(), authorities=tuple(cas)
            )
            logger.info("this host believes its owner by %d authorities now", len(cas))
            return True

    def forget_owner(self, peer: Peer) -> bool:
        """Belong to nobody, as the owner wants, and end all connections but the answer to ``peer``.

        The key stays, so that who is met again is known. False when the peer is not the owner any more.

        Raises:
            OSError: when the owner's file cannot be removed; then nothing has changed.
        """
        with self._lock:
            if not self.is_owner(peer):
                return False
            self.ownership.forget()
            self._begin_journal()
            self._refresh(changed_by=peer.connection)
            logger.info("the owner has given this host up: it is unclaimed")
            return True

    def _begin_journal(self) -> None:
        """Who owns the host next need not know what was done before."""
        self.operations.stop()
        journal.remove(self.config.state_dir)
        self.operations = self._new_operations()
        self.outbox.forget()

    def poll(self) -> None:
        """Notice what time and other processes changed: a key expired or put here, a reset.

        It never waits: while a request changes the state there is nothing to notice.

        Raises:
            IdentityError, OwnershipError: when the state directory was damaged; better no daemon then.
        """
        if not self._lock.acquire(blocking=False):
            return
        try:
            if files.signature(self._key_file) != self._key_seen or self.ownership.changed_on_disk():
                logger.warning("the state directory was changed from outside: it is read again")
                known = self.identity.id
                self._load()
                if self.identity.id != known:  # a reset: the journal is another one, too
                    self._begin_journal()
            else:
                self._refresh(changed_by=0)
        finally:
            self._lock.release()
        self.operations.tick()

    def _refresh(self, *, changed_by: int) -> None:
        if self._terms() != self.trust.terms:
            self.trust = self._trust(changed_by=changed_by)

    def _trust(self, *, changed_by: int) -> Trust:
        terms = self._terms()
        context = tls.make_context(terms)
        authorities = certificates.authorities_from_pem(terms.client_ca) if terms.client_ca else ()
        return Trust(next(self._generations), context, terms, authorities, changed_by)

    def _terms(self) -> tls.Terms:
        owner, enrolment = self.ownership.owner, self.ownership.enrolment
        if owner:
            return self._owned_terms(owner)
        join_key = self.usable_join_key()
        # Who adopts by code shows no certificate: his CA counts once the host is his.
        by_key = enrolment if enrolment and not enrolment.adoption else None
        ca = by_key.ca if by_key else join_key.ca if join_key else None
        return tls.Terms(self._key_pem, self._self_signed, ca)

    def _owned_terms(self, owner: Owner) -> tls.Terms:
        return tls.Terms(self._key_pem, owner.certificate, owner.ca, demanded=True)
