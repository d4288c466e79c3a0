"""Waking workers. Redis may wake, never remember: what is to be done is found in the database."""

import logging

from celery import current_app
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)


def wake_worker(task: str, key: int, *, expires: float | None = None) -> bool:
    """Have a worker run a task on the row with this key, if one takes it within `expires` seconds.

    Tells whether Redis took it: when it is gone, nobody is woken for another row either. Never fails.
    """
    try:
        current_app.send_task(task, args=[key], expires=expires, retry=False)
    except (BrokerError, RedisError, OSError) as error:
        logger.warning("No worker was woken for %s of %s: %s", task, key, error)
        return False
    return True
