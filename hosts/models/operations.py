"""What is to be done on hosts and domains, and how far it has come."""

from typing import Self

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from uuid_utils.compat import uuid7

from access.choices import Role, Target
from access.permissions import Rights, rights_of

from .. import siblings
from ..choices import (
    BEGUN_STATES,
    OPEN_STATES,
    OVERDUE_AFTER,
    OperationState,
    TargetType,
)
from .hosts import Host


class OperationQuerySet(QuerySet["Operation"]):
    def open(self) -> Self:
        return self.filter(state__in=OPEN_STATES)

    def ended(self) -> Self:
        return self.exclude(state__in=OPEN_STATES)

    def granted(self, rights: Rights, role: Role) -> Self:
        """The operations on hosts and domains on which a role is had, and those on many that the user began.

        The parts of these are judged by themselves: who began them may see some of them no more. A domain
        that is gone, mostly by what was asked for, has no tags that would tell who has a role on it: who has
        roles by tags sees what he asked for himself.
        """
        if rights.everywhere(role):
            return self
        of_domains = Q(target_id__in=siblings.ids_of_granted_domains(rights, role))
        of_domains |= Q(target_id__in=rights.keys(Target.DOMAIN, role))
        if role == Role.VIEWER and rights.tags(role):
            there = Exists(siblings.ids_of_domains().filter(pk=OuterRef("target_id")))
            of_domains |= Q(~there, actor=rights.user)
        return self.filter(
            Q(host__in=rights.keys(Target.HOST, role))
            | (Q(target_type=TargetType.DOMAIN) & of_domains)
            | Q(target_type=TargetType.SELECTION, actor=rights.user)
        )

    def visible_to(self, user: User) -> Self:
        return self.granted(rights_of(user), Role.VIEWER)

    def with_overdue(self) -> Self:
        """Say of each as `is_overdue` whether it goes on after its deadline.

        What has begun has no verdict before libvirt has ended it. Of many domains the parts tell.
        """
        begun = Q(state__in=BEGUN_STATES, deadline__lt=timezone.now() - OVERDUE_AFTER)
        return self.annotate(is_overdue=begun & ~Q(target_type=TargetType.SELECTION))


class Operation(models.Model):
    """A change to a host or a domain: a row before anything is sent, with exactly one verdict in the end.

    Names and ids of actor, host and target are kept as text too: the row outlives what they point to.
    `problem` is `{type, detail}` of a verdict that is not `succeeded`. Times are the server's clock.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    parent = models.ForeignKey("self", models.CASCADE, null=True, blank=True, related_name="children")
    # The place among the children of a parent, from 0.
    position = models.PositiveIntegerField(default=0)

    actor = models.ForeignKey("auth.User", models.SET_NULL, null=True, blank=True, related_name="+")
    actor_name = models.CharField(max_length=150, blank=True)
    idempotency_key = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001 -- null is not unique
    fingerprint = models.CharField(max_length=64, blank=True, help_text="SHA-256 of what was asked.")

    host = models.ForeignKey(Host, models.SET_NULL, null=True, blank=True, related_name="operations")
    host_name = models.CharField(max_length=255, blank=True)
    target_type = models.CharField(max_length=10, choices=TargetType)
    target_id = models.BigIntegerField(null=True, blank=True, help_text="The server's own id of the target.")
    target_uuid = models.UUIDField(null=True, blank=True)
    target_name = models.CharField(max_length=255, blank=True)
    verb = models.CharField(max_length=20)
    args = models.JSONField(default=dict, blank=True)
    precondition = models.JSONField(default=dict, blank=True)
    deadline = models.DateTimeField()

    state = models.CharField(max_length=10, choices=OperationState, default=OperationState.ACCEPTED)
    attempts = models.PositiveIntegerField(default=0)
    # When the carrier may look at it (again). Taking it moves this on: two carriers never hold one operation.
    due_at = models.DateTimeField(default=timezone.now)
    # The journal of the daemon to which it was first sent; another journal is only asked, never sent to.
    journal_id = models.CharField(max_length=64, blank=True)
    cancel_asked_at = models.DateTimeField(null=True, blank=True)
    # The daemon was told that the verdict is stored here, and may forget it.
    acknowledged = models.BooleanField(default=False)
    progress = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Per cent, where libvirt tells."
    )
    result = models.JSONField(default=dict, blank=True)
    problem = models.JSONField(null=True, blank=True)

    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    is_overdue: bool  # annotated by OperationQuerySet.with_overdue()

    objects = OperationQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["actor", "idempotency_key"], name="one_operation_per_actor_and_key"
            )
        ]
        indexes = [
            models.Index(fields=["state", "due_at"]),
            models.Index(fields=["target_type", "target_id", "-created_at"]),
            models.Index(fields=["-created_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.target_name}"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES


class OperationEvent(models.Model):
    """One move of an operation: the lines of its timeline."""

    operation = models.ForeignKey(Operation, models.CASCADE, related_name="events")
    at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=10, choices=OperationState)
    detail = models.TextField(blank=True)

    class Meta:
        # In the order of the moves, which a clock that is set back does not change.
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.state} at {self.at:%H:%M:%S}"
