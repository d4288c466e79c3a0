"""The pages of hosts, join keys and operations. They read what is stored; a worker asks whom must be asked."""

from .hosts import add_host, approve, deny, host, hosts, probe, retire, row
from .join_keys import create_join_key, join_keys, revoke_join_key

__all__ = [
    "add_host",
    "approve",
    "create_join_key",
    "deny",
    "host",
    "hosts",
    "join_keys",
    "probe",
    "retire",
    "revoke_join_key",
    "row",
]
