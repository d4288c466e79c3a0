"""What the manager knows of hypervisors, the keys by which they join, and the operations on them."""

from .hosts import (
    Host,
    HostAddress,
    HostCertificate,
    HostQuerySet,
    JoinKey,
    QuarantinedKey,
    serial_of,
    status_expression,
)
from .operations import Operation, OperationEvent, OperationQuerySet

__all__ = [
    "Host",
    "HostAddress",
    "HostCertificate",
    "HostQuerySet",
    "JoinKey",
    "Operation",
    "OperationEvent",
    "OperationQuerySet",
    "QuarantinedKey",
    "serial_of",
    "status_expression",
]
