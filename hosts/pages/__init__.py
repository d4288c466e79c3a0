"""The pages of hosts, join keys and operations. They read what is stored; a worker asks hosts."""

from .approving import approve_hosts
from .hosts import add_host, adopt, approve, deny, host, hosts, probe, retire, row
from .join_keys import create_join_key, join_keys, revoke_join_key
from .operations import cancel_operation, open_operations, operation, operations
from .trust import trust, try_connection

__all__ = [
    "add_host",
    "adopt",
    "approve",
    "approve_hosts",
    "cancel_operation",
    "create_join_key",
    "deny",
    "host",
    "hosts",
    "join_keys",
    "open_operations",
    "operation",
    "operations",
    "probe",
    "retire",
    "revoke_join_key",
    "row",
    "trust",
    "try_connection",
]
