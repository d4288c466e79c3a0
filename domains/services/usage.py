"""What some domains take, for quotas."""

from typing import Any

from django.db.models import Count, FloatField, QuerySet, Sum
from django.db.models.functions import Cast

from access.siblings import Usage

from ..models import Domain


def usage_of(ids: QuerySet[Any, int]) -> Usage:
    """Count the domains with these ids that are there. Of memory: what each may take at most."""
    taken = Domain.objects.present().filter(pk__in=ids)
    found = taken.aggregate(
        domains=Count("pk"),
        vcpus=Sum("vcpus", default=0),
        # The largest that two hosts may tell are together more than an integer of SQLite holds.
        memory=Sum(Cast("max_memory", FloatField()), default=0.0),
    )
    return Usage(found["domains"], found["vcpus"], int(found["memory"]))
