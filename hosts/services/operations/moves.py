"""How an operation moves: forward only. Each move is a line of its timeline, told to whoever looks at it."""

import logging
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from django.db import transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone
from django_redis import get_redis_connection
from redis.exceptions import RedisError

from ...choices import OPEN_STATES, OperationState, TargetType
from ...live import FLEET, OPERATIONS, News, publish_all
from ...models import Operation, OperationEvent
from .auditing import record_verdicts

logger = logging.getLogger(__name__)

S = OperationState
# `due_at` of what nobody has to look at any more, or not yet.
NEVER: Final = datetime(9000, 1, 1, tzinfo=UTC)
BEFORE: Final[Mapping[str, Collection[str]]] = {
    S.SENT: (S.ACCEPTED,),
    S.RUNNING: (S.ACCEPTED, S.SENT),
    **{verdict: OPEN_STATES for verdict in S if verdict not in OPEN_STATES},
}
# What it says of an operation that it reached this state: libvirt was asked.
STARTED: Final = frozenset({S.RUNNING, S.SUCCEEDED})
# Of more parts of one operation that move at once a list hears as of a whole: it would fetch that anyway.
MANY_PARTS: Final = 50


def move(
    operation: Operation,
    state: OperationState,
    *,
    detail: str = "",
    where: Q = Q(),  # noqa: B008 -- Q() is never changed
    **fields: Any,
) -> bool:
    """Move an operation on, if it is not as far already and is as `where` says; return whether it moved.

    Of two that settle one operation at once, the one whose update counts has it. Further `fields` are set
    with the state; `problem` and `result` belong to verdicts.
    """
    now = timezone.now()
    values: dict[str, Any] = {"state": state, **fields}
    if state in STARTED:
        values["started_at"] = Coalesce(F("started_at"), now)
    if state not in OPEN_STATES:
        values |= {"finished_at": now, "due_at": _to_acknowledge(now, fields)}
    with transaction.atomic(savepoint=False):
        rows = Operation.objects.filter(where, pk=operation.pk, state__in=BEFORE[state])
        if not rows.update(**values):
            return False
        OperationEvent.objects.create(operation=operation, at=now, state=state, detail=detail)
        if state not in OPEN_STATES:
            record_verdicts([operation], state, fields.get("problem"))
        announce([operation])
    return True


def _to_acknowledge(now: datetime, fields: Mapping[str, Any]) -> Any:
    """When to tell the daemon that its verdict is stored; one that never had it has nothing to forget."""
    if "sent_at" in fields:
        return NEVER if fields["sent_at"] is None else now
    return Case(When(sent_at__isnull=True, then=Value(NEVER)), default=Value(now))


def announce(operations: Collection[Operation]) -> None:
    """Tell every page that shows the operations or their targets, and whoever waits for them.

    Of many parts of one operation all pages hear as of that one, once, and of each only its domain's page.
    """
    # Who waits first: a page has time.
    transaction.on_commit(partial(_wake, [operation.pk for operation in operations]))
    publish_all(_news(operations))


def _news(operations: Collection[Operation]) -> list[News]:
    parts = Counter(operation.parent_id for operation in operations if operation.parent_id)
    many = {parent_id for parent_id, count in parts.items() if count > MANY_PARTS}
    news: list[News] = []
    for operation in operations:
        everybody = (FLEET, OPERATIONS, *_host(operation))
        changed = partial(News, "operation.changed")
        if operation.parent_id in many:
            news.append(changed(str(operation.parent_id), everybody))
            news.append(changed(str(operation.pk), _domain(operation)))
        else:
            news.append(changed(str(operation.pk), (*everybody, *_domain(operation))))
    return news


def _host(operation: Operation) -> tuple[str, ...]:
    return (f"host.{operation.host_id}",) if operation.host_id else ()


def _domain(operation: Operation) -> tuple[str, ...]:
    return (f"domain.{operation.target_id}",) if operation.target_type == TargetType.DOMAIN else ()


def channel_of(operation_id: object) -> str:
    """The Redis channel on which waiting requests are woken."""
    return f"virshmanager:operation:{operation_id}"


def _wake(ids: Collection[object]) -> None:
    try:
        with get_redis_connection().pipeline(transaction=False) as pipeline:
            for operation_id in ids:
                pipeline.publish(channel_of(operation_id), b"")
            pipeline.execute()
    except (RedisError, OSError) as error:
        # Whoever waits looks by itself every second.
        logger.warning("Nobody was woken for %s operations: %s", len(ids), error)
