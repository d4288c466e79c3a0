"""Writing rows: the one way to do so."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.db import models, transaction
from django.http import HttpRequest

from ..choices import Action, Result
from ..models import AuditEntry
from .origins import Actor, Origin, origin

ROWS_PER_STATEMENT = 500
LONGEST_IN_DETAIL, MOST_IN_DETAIL = 255, 100
LONGEST = {field.name: field.max_length for field in AuditEntry._meta.fields}

Detail = Mapping[str, Any]


class Target(NamedTuple):
    """What it was done to, as it was called then."""

    type: str
    id: object = ""
    name: str = ""

    @classmethod
    def of(cls, thing: "models.Model | Target | None") -> "Target":
        if isinstance(thing, models.Model):
            return cls(str(thing._meta.model_name), thing.pk, str(thing))
        return thing or cls("")


def row(
    action: Action,
    target: "models.Model | Target | None" = None,
    *,
    result: str = Result.OK,
    problem: str = "",
    detail: Detail | None = None,
    actor: Actor | User | None = None,
    by: Origin | None = None,
) -> AuditEntry:
    """Return an entry that is not stored yet.

    Who acts is told by the request or the process, unless `actor` or `by` says so. `detail` is small, and
    holds nothing that was not chosen for it: words, numbers, and lists of them.
    """
    found = by or origin()
    who = Actor.of(actor) if isinstance(actor, User) else actor or found.actor
    what = Target.of(target)
    return AuditEntry(
        actor_id=who.id,
        actor_name=_text(who.name, "actor_name"),
        via=found.via,
        via_name=_text(found.via_name, "via_name"),
        source=found.source,
        action=action,
        target_type=what.type,
        target_id=_text(what.id, "target_id"),
        target_name=_text(what.name, "target_name"),
        result=result,
        problem=_text(problem, "problem"),
        detail={name: _small(value) for name, value in (detail or {}).items()},
    )


def record(action: Action, target: "models.Model | Target | None" = None, **told: Any) -> None:
    """Write one row; see `row`. Call it in the transaction of the deed."""
    record_all([row(action, target, **told)])


def record_all(rows: Collection[AuditEntry]) -> None:
    """Write rows. Call it in the transaction of the deeds."""
    AuditEntry.objects.bulk_create(rows, batch_size=ROWS_PER_STATEMENT)


def record_denial(request: HttpRequest, problem: str, *, by: Origin | None = None) -> None:
    """Write that somebody asked for what is not his to do."""
    asked = Target("route", name=request.path)
    told = {"method": request.method or ""}
    record(Action.ACCESS_REFUSE, asked, result=Result.REFUSED, problem=problem, detail=told, by=by)


@dataclass
class Deed:
    """What is told of a deed when it is done: the doing may find out more."""

    target: "models.Model | Target | None"
    detail: dict[str, Any]


@contextmanager
def deed(
    action: Action,
    target: "models.Model | Target | None" = None,
    *,
    actor: User | None = None,
    detail: Detail | None = None,
) -> Iterator[Deed]:
    """A transaction that ends with its row. A refusal undoes it, and is recorded by its word."""
    doing = Deed(target, dict(detail or {}))
    # As it was called before: deleting takes the key of a row.
    before = Target.of(target)
    with refusals(action, before, actor=actor, detail=detail), transaction.atomic():
        yield doing
        now = before if doing.target is target else doing.target
        record(action, now, actor=actor, detail=doing.detail)


@contextmanager
def refusals(
    action: Action,
    target: "models.Model | Target | None" = None,
    *,
    actor: User | None = None,
    detail: Detail | None = None,
) -> Iterator[None]:
    """Record what is refused: an error that carries a `problem`, a stable word."""
    try:
        yield
    except Exception as error:
        word = getattr(error, "problem", None)
        if isinstance(word, str):
            record(action, target, result=Result.REFUSED, problem=word, actor=actor, detail=detail)
        raise


def _text(value: object, field: str) -> str:
    return _printable(str(value), LONGEST[field])


def _small(value: Any) -> Any:
    if isinstance(value, str):
        return _printable(value, LONGEST_IN_DETAIL)
    if isinstance(value, list):
        return [_small(part) for part in value[:MOST_IN_DETAIL]]
    return value


def _printable(text: str, longest: int | None) -> str:
    """A text that every database stores as it is, and that no terminal obeys."""
    shown = (letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return "".join(islice(shown, longest))
