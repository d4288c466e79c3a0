"""The audit: who did what to what, by what, from where, when, and how it went.

A row is written in the transaction of the deed, so that neither is there without the other, and the database
refuses to change or delete it (migration 0003). A moment later the row is chained to the one before it by its
hash: see `chain`. No row holds a secret: what a detail is made of is named word by word, never copied whole.
"""

from .chain import Broken, Report, chain_waiting, verify
from .origins import SYSTEM, Actor, Origin, address_of, serving
from .writing import Deed, Target, deed, record, record_all, record_denial, refusals, row

__all__ = [
    "SYSTEM",
    "Actor",
    "Broken",
    "Deed",
    "Origin",
    "Report",
    "Target",
    "address_of",
    "chain_waiting",
    "deed",
    "record",
    "record_all",
    "record_denial",
    "refusals",
    "row",
    "serving",
    "verify",
]
