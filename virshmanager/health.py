"""Is the server alive, and can it work? For supervisors and proxies; both answer without login."""

from collections.abc import Callable

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django_redis import get_redis_connection
from redis.exceptions import RedisError

from domains.watcher.beats import watcher_beats

from .errors import PROBLEM_JSON, problem

WORKER_BEAT_KEY = "virshmanager:worker:beat"
WORKER_BEAT_LASTS_SECONDS = 20


def note_worker() -> None:
    """Say that a worker is at work. Raises RedisError."""
    get_redis_connection().set(WORKER_BEAT_KEY, "1", ex=WORKER_BEAT_LASTS_SECONDS)


def _database() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM django_migrations")
    return True


def _redis() -> bool:
    return bool(get_redis_connection().ping())


def _worker() -> bool:
    return bool(get_redis_connection().exists(WORKER_BEAT_KEY))


PARTS: dict[str, Callable[[], bool]] = {
    "database": _database,
    "redis": _redis,
    "worker": _worker,
    "watcher": watcher_beats,
}


def _answers(part: Callable[[], bool]) -> bool:
    try:
        return part()
    except (DatabaseError, RedisError, OSError):
        return False


@login_not_required
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 -- Django's signature
    """This process answers."""
    return JsonResponse({"status": "alive"})


@login_not_required
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when database, Redis, worker and watcher answer; else 503 and the names of those that do not."""
    missing = [name for name, part in PARTS.items() if not _answers(part)]
    if not missing:
        return JsonResponse({"status": "ready"})
    detail = _("Not answering: %(parts)s.") % {"parts": ", ".join(missing)}
    body = problem(type="not_ready", status=503, detail=detail, instance=request.path, missing=missing)
    return JsonResponse(body, status=503, content_type=PROBLEM_JSON)
