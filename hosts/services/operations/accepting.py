"""Accepting an operation: its row is committed before anything is sent."""

from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from ... import faults
from ...choices import OperationState, TargetType
from ...errors import KeyReused
from ...models import Host, Operation, OperationEvent
from ..waking import wake_worker
from .auditing import record_accepted
from .moves import announce

CARRY_TASK = "hosts.tasks.carry_host"
# A task that no worker took in time is repeated by the sweep.
TASK_EXPIRES_SECONDS = 10


def accept(
    *,
    host: Host,
    target_type: TargetType,
    target_id: int,
    target_uuid: UUID,
    target_name: str,
    verb: str,
    args: dict[str, Any],
    deadline: timedelta,
    actor: User,
    key: str = "",
    fingerprint: str = "",
    precondition: dict[str, Any] | None = None,
    here: bool = False,
) -> Operation:
    """Store an operation; workers then carry it, unless the caller will (`here`). No host is asked for that.

    Nor is anybody told of it then before it was sent, which is a moment later: see `wait_for`.

    `key` is the caller's Idempotency-Key: with the same `fingerprint` the first operation is returned again,
    in its present state. Callers ask `replayed` before they judge the target; of two requests at once that
    both find nothing there, the second gets the first one's operation here.

    Raises:
        KeyReused: when the key was used for something else.
    """
    now = timezone.now()
    operation = Operation(
        **described(actor=actor, key=key, fingerprint=fingerprint),
        host=host,
        host_name=str(host),
        target_type=target_type,
        target_id=target_id,
        target_uuid=target_uuid,
        target_name=target_name,
        verb=verb,
        args=args,
        precondition=precondition or {},
        created_at=now,
        due_at=now,
        deadline=now + deadline,
    )
    if not store(operation, tell=not here):
        return replayed(actor, key, fingerprint) or operation
    faults.at("accepted")
    if not here:
        transaction.on_commit(partial(wake_carriers, [host.pk]))
    return operation


def described(*, actor: User, key: str, fingerprint: str) -> dict[str, Any]:
    """The fields of who asks for what."""
    return {
        "actor": actor,
        "actor_name": actor.get_username(),
        "idempotency_key": key or None,
        "fingerprint": fingerprint,
    }


def store(operation: Operation, *, tell: bool = True) -> bool:
    """Insert an operation with the first line of its timeline; False when its key is taken."""
    try:
        with transaction.atomic():
            operation.save(force_insert=True)
            OperationEvent.objects.create(
                operation=operation, at=operation.created_at, state=OperationState.ACCEPTED
            )
            record_accepted(operation)
            if tell:
                announce([operation])
    except IntegrityError:
        key = operation.idempotency_key
        # It may be for another reason, such as a host that was forgotten meanwhile: then nothing is stored.
        if key is None or not _used(operation.actor, key).exists():
            raise
        return False
    return True


def replayed(actor: User, key: str, fingerprint: str) -> Operation | None:
    """Return the operation that `actor` asked for with this key before; None of an empty or a new key.

    Raises:
        KeyReused: when the key was used for something else.
    """
    if not key:
        return None
    found = _used(actor, key).first()
    if found is not None and found.fingerprint != fingerprint:
        raise KeyReused
    return found


def _used(actor: User | None, key: str) -> QuerySet[Operation]:
    """The operation that was asked for with this key."""
    return Operation.objects.filter(actor=actor, idempotency_key=key)


def wake_carriers(host_ids: Iterable[int]) -> None:
    """Have workers carry what is due of hosts. The sweep asks again."""
    for host_id in host_ids:
        if not wake_worker(CARRY_TASK, host_id, expires=TASK_EXPIRES_SECONDS):
            # A thousand hosts must not wait for Redis one by one.
            return
