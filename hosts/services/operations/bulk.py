"""One operation on many domains: a parent, and a child for each domain, released in order.

A child that waits for its release is `accepted` and never due; its deadline counts from its release.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone
from django.utils.translation import ngettext

from access.permissions import NOTHING, rights_of
from access.verbs import needed

from ...choices import OPEN_STATES, OperationState, TargetType
from ...errors import sentence
from ...models import Operation, OperationEvent
from ...payloads import Problem
from .accepting import described, replayed, store, wake_carriers
from .auditing import record_verdicts
from .moves import NEVER, announce, move

S = OperationState
# So many children of one bulk are on their way to a host at once: a fleet that starts must not drown it.
AT_ONCE_PER_HOST: Final = 16
# A child's end is looked at in this moment by the parent of so many, of more by the sweep.
PROMPT_CHILDREN: Final = 100
ROWS_PER_STATEMENT: Final = 500


@dataclass(frozen=True)
class BulkTarget:
    """A domain that a bulk operation is about."""

    id: int
    uuid: UUID
    name: str
    host_id: int
    host_name: str


def accept_bulk(
    *,
    verb: str,
    targets: Sequence[BulkTarget],
    skipped: Collection[dict[str, Any]],
    skipped_total: int,
    options: dict[str, Any],
    deadline: timedelta,
    stagger: timedelta,
    stop_on_failure: bool,
    actor: User,
    key: str = "",
    fingerprint: str = "",
) -> Operation:
    """Store a bulk operation with its children, in the order of `targets`, and release the first of them.

    `options` say what was asked, for people; `deadline` is the one of each child. Raises KeyReused.
    """
    now = timezone.now()
    own = {
        "deadline": deadline.total_seconds(),
        "stagger": stagger.total_seconds(),
        "stop_on_failure": stop_on_failure,
        "children": len(targets),
    }
    parent = Operation(
        **described(actor=actor, key=key, fingerprint=fingerprint),
        target_type=TargetType.SELECTION,
        target_name=ngettext("%d domain", "%d domains", len(targets)) % len(targets),
        verb=verb,
        args=options | own,
        created_at=now,
        due_at=now,
        # One after another they end within this; what is not begun by then is not begun at all.
        deadline=now + len(targets) * (deadline + stagger),
        progress=0,
        result={"skipped": list(skipped), "skipped_total": skipped_total},
    )
    with transaction.atomic():
        if not store(parent):
            return replayed(actor, key, fingerprint) or parent
        _store_children(parent, targets)
        transaction.on_commit(partial(advance, parent.pk))
    return parent


def _store_children(parent: Operation, targets: Sequence[BulkTarget]) -> None:
    children = [
        Operation(
            parent=parent,
            position=position,
            actor=parent.actor,
            actor_name=parent.actor_name,
            host_id=target.host_id,
            host_name=target.host_name,
            target_type=TargetType.DOMAIN,
            target_id=target.id,
            target_uuid=target.uuid,
            target_name=target.name,
            verb=parent.verb,
            created_at=parent.created_at,
            due_at=NEVER,
            deadline=parent.deadline,
        )
        for position, target in enumerate(targets)
    ]
    Operation.objects.bulk_create(children, batch_size=ROWS_PER_STATEMENT)
    _note(children, S.ACCEPTED, parent.created_at)


def _note(children: Iterable[Operation], state: OperationState, at: datetime, detail: str = "") -> None:
    events = [OperationEvent(operation=child, at=at, state=state, detail=detail) for child in children]
    OperationEvent.objects.bulk_create(events, batch_size=ROWS_PER_STATEMENT)


def child_ended(parent_id: UUID) -> None:
    """Look after the parent of a child that has its verdict."""
    parent = Operation.objects.open().filter(pk=parent_id).only("args").first()
    if parent is None:
        return
    args = parent.args
    if args["children"] <= PROMPT_CHILDREN or args["stop_on_failure"] or args["stagger"]:
        advance(parent_id)


def advance(parent_id: UUID) -> None:
    """Release the children whose turn it is, and derive the parent's state from what became of the others."""
    hosts: set[int] = set()
    with transaction.atomic():
        # Two that look at one parent at once must not both release the next child.
        parent = Operation.objects.open().select_for_update().filter(pk=parent_id).first()
        if parent is None:
            return
        if (why := _reason_to_stop(parent, _states(parent))) is not None:
            # What is on its way has a deadline of its own; of what was cancelled nothing is sent any more.
            unsent = parent.children.filter(state=S.ACCEPTED, sent_at=None)
            _end(unsent if parent.cancel_asked_at else held_children(parent), *why)
        else:
            hosts = _release(parent)
        _derive(parent, _states(parent), begun=bool(hosts))
    wake_carriers(hosts)


def _states(parent: Operation) -> Counter[str]:
    rows = parent.children.order_by().values_list("state").annotate(Count("pk"))
    return Counter(dict(rows))


def held_children(parent: Operation) -> QuerySet[Operation]:
    """The children that wait for their release."""
    return parent.children.filter(state=S.ACCEPTED, due_at=NEVER).order_by("position")


def _reason_to_stop(parent: Operation, states: Counter[str]) -> tuple[OperationState, str] | None:
    """Why no further child is to begin, if so."""
    if parent.cancel_asked_at:
        return S.CANCELLED, "cancelled"
    failed = sum(states.values()) - states[S.SUCCEEDED] - sum(states[state] for state in OPEN_STATES)
    if failed and parent.args["stop_on_failure"]:
        return S.CANCELLED, "stopped_by_failure"
    if parent.deadline <= timezone.now():
        return S.EXPIRED, "not_begun"
    return None


def _end(children: QuerySet[Operation], state: OperationState, word: str) -> None:
    """End what is not sent. What a carrier holds at this moment is left to the next sweep: none waits."""
    now = timezone.now()
    problem = Problem(type=word, detail=sentence(word))
    ended = list(children.select_for_update(skip_locked=True))
    for start in range(0, len(ended), ROWS_PER_STATEMENT):
        part = ended[start : start + ROWS_PER_STATEMENT]
        rows = Operation.objects.filter(pk__in=[child.pk for child in part])
        rows.update(state=state, problem=problem, finished_at=now, due_at=NEVER)
    _note(ended, state, now, problem["detail"])
    record_verdicts(ended, state, problem)
    announce(ended)


def _release(parent: Operation) -> set[int]:
    """Let the next children begin; return their hosts."""
    now = timezone.now()
    args = parent.args
    # Later than a stagger from now it is only when the clock was set back.
    if now < parent.due_at <= now + timedelta(seconds=args["stagger"]):
        return set()
    released = parent.children.open().exclude(due_at=NEVER)
    if args["stop_on_failure"] and released.exists():
        return set()
    one_by_one = args["stop_on_failure"] or args["stagger"]
    on_their_way: Counter[int | None] = Counter(released.order_by().values_list("host_id", flat=True))
    full = [host_id for host_id, count in on_their_way.items() if host_id and count >= AT_ONCE_PER_HOST]
    waiting = held_children(parent).exclude(host_id__in=full)
    chosen = []
    for child in waiting[: 1 if one_by_one else ROWS_PER_STATEMENT]:
        if on_their_way[child.host_id] < AT_ONCE_PER_HOST:
            on_their_way[child.host_id] += 1
            chosen.append(child)
    # It may be hours since it was asked for.
    lost = {child.pk for child in chosen} - _allowed(parent, chosen)
    if lost:
        _end(held_children(parent).filter(pk__in=lost), S.CANCELLED, "not_granted")
        chosen = [child for child in chosen if child.pk not in lost]
    unbegun = Q(state=S.ACCEPTED, due_at=NEVER)
    Operation.objects.filter(unbegun, pk__in=[child.pk for child in chosen]).update(
        due_at=now, deadline=now + timedelta(seconds=args["deadline"])
    )
    if chosen and args["stagger"]:
        Operation.objects.filter(pk=parent.pk).update(due_at=now + timedelta(seconds=args["stagger"]))
    announce(chosen)
    return {child.host_id for child in chosen if child.host_id}


def _allowed(parent: Operation, children: Collection[Operation]) -> set[UUID]:
    """Those of the children that who asked for them may still ask for."""
    rights = rights_of(parent.actor) if parent.actor else NOTHING
    rows = Operation.objects.filter(pk__in=[child.pk for child in children])
    return set(rows.granted(rights, needed(parent.verb)).values_list("pk", flat=True))


def _derive(parent: Operation, states: Counter[str], *, begun: bool) -> None:
    """Show what became of the children. The parent succeeds only if all of them did."""
    total = sum(states.values())
    still_open = sum(states[state] for state in OPEN_STATES)
    per_cent = 100 * (total - still_open) // total
    result = parent.result | {"states": {state: count for state, count in states.items() if count}}
    if still_open:
        if begun:
            move(parent, S.RUNNING)
        if per_cent != parent.progress:
            Operation.objects.filter(pk=parent.pk).update(progress=per_cent, result=result)
            announce([parent])
        return
    done = {"result": result, "progress": per_cent}
    if not (failed := total - states[S.SUCCEEDED]):
        move(parent, S.SUCCEEDED, **done)
        return
    detail = sentence("not_all_succeeded", failed=failed, total=total)
    problem = Problem(type="not_all_succeeded", detail=detail)
    state = S.CANCELLED if parent.cancel_asked_at else S.FAILED
    move(parent, state, detail=detail, problem=problem, **done)
