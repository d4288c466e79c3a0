"""What root does on the host: look, let in, and forget. All of it works on the state directory alone."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from virshmanagerd import adoptcode, certificates, files, identity, joinkey, journal
from virshmanagerd.certificates import CertificateError
from virshmanagerd.ownership import Ownership

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric import ec

    from virshmanagerd.config import Config


class CommandError(Exception):
    """A command that could not be done; its text is one line for a person."""


def status(config: Config) -> Iterator[str]:
    """Describe this host, line by line.

    Raises:
        CommandError: when the state directory cannot be read.
        OwnershipError: when the owner's file is damaged.
    """
    try:
        key = _host_key(config)
        record = json.loads((config.state_dir / identity.RECORD).read_bytes())
    except FileNotFoundError:
        yield f"{_not_started(config)}."
        return
    except (OSError, ValueError, CertificateError) as error:
        raise CommandError(f"{config.state_dir} cannot be read: {error}") from None
    yield f"id:         {certificates.host_id(key.public_key())}"
    yield f"key:        {_fingerprint(key.public_key())}"
    yield from _ownership(config)
    if record.get("notice"):
        yield f"notice:     {record['notice']}"


def _host_key(config: Config) -> ec.EllipticCurvePrivateKey:
    return certificates.key_from_pem((config.state_dir / identity.KEY).read_bytes())


def _fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """The SHA-256 of the public key as the pages of the server show it, to be compared by eye."""
    return hashlib.sha256(certificates.spki(key)).digest().hex(":").upper()


def _not_started(config: Config) -> str:
    return f"The daemon has not been started yet with the state directory {config.state_dir}"


def _ownership(config: Config) -> Iterator[str]:
    owner = Ownership(config.state_dir / identity.OWNER).owner
    if owner is None:
        yield "state:      unclaimed"
        yield f"join key:   {_join_key(config)}"
        yield f"adopt code: {_adopt_code(config)}"
        return
    certificate = certificates.certificate_from_pem(owner.certificate)
    yield "state:      owned"
    yield f"owner:      {owner.server_id}"
    yield f"valid till: {certificate.not_valid_after_utc:%F %T} UTC"


def _join_key(config: Config) -> str:
    try:
        key = joinkey.parse(config.join_file.read_bytes())
    except FileNotFoundError:
        return f"none ({config.join_file})"
    except OSError as error:
        return f"cannot be read: {config.join_file}: {error.strerror}"
    except joinkey.JoinFileError as error:
        return f"cannot be used: {config.join_file}: {error}"
    word = "expired since" if key.expired(certificates.now()) else "usable until"
    return f"{key.key_id}, {word} {key.expires_at:%F %T} UTC"


def _adopt_code(config: Config) -> str:
    code = adoptcode.CodeFile(config.state_dir).read()
    if code is None:
        return "none (make one: virshmanagerd code)"
    word = "expired since" if code.expired(certificates.now()) else "usable until"
    return f"{word} {code.made_at + adoptcode.LIFE:%F %T} UTC"


def code(config: Config) -> Iterator[str]:
    """Make an adopt code, and say what to do with it. One that was made before is good no more.

    Raises:
        CommandError: when the host is owned, has no key yet, or the code cannot be stored.
        OwnershipError: when the owner's file is damaged.
    """
    owner = Ownership(config.state_dir / identity.OWNER).owner
    if owner:
        raise CommandError(
            f"this host is owned by the server {owner.server_id}, and needs no code: retire it there, "
            "or give it up here with: virshmanagerd reset"
        )
    try:
        text = adoptcode.make(config.state_dir, _host_key(config), certificates.now())
    except FileNotFoundError:
        raise CommandError(f"{_not_started(config)}: start it first") from None
    except (OSError, CertificateError) as error:
        raise CommandError(f"no code can be made in {config.state_dir}: {error}") from None
    yield f"{text[:5]}-{text[5:]}"
    yield ""
    yield "This is the adopt code of this host. On the pages of your VirshManager choose Hosts, this host and"
    yield "Adopt, and type the code there. It is good once, and for 15 minutes; a code from before is good no"
    yield "more. Tell it to nobody who should not own this host."


def reset(config: Config) -> Iterator[str]:
    """Forget owner, adopt code and identity; a running daemon notices within a second, and makes a new key.

    So is the journal: who owns the host next need not know what was done before. Spent join keys stay spent.
    The owner goes first: a crash in between leaves an unclaimed host.

    Raises:
        CommandError: when a file cannot be removed.
    """
    try:
        removed = [
            name
            for name in (identity.OWNER, adoptcode.FILE, identity.RECORD, identity.KEY)
            if files.remove(config.state_dir / name)
        ]
        journal.remove(config.state_dir)
    except OSError as error:
        raise CommandError(f"the state cannot be removed: {error}") from None
    if not removed:
        yield f"There was nothing to forget in {config.state_dir}."
        return
    yield "The owner and the identity are forgotten: this host is unclaimed, with a new key."
