"""What hosts tells the apps above it, without knowing them."""

from django.dispatch import Signal

# A host reported its domains. Sent in a transaction, with `host: Host`, `domains: list[DomainFacts]`,
# `asked_at: datetime`: what was learned of a domain since then is newer,
# `listed_before: datetime | None`: when its domains were reported before, and
# `adds: bool`: whether one that is not known is new; else it may have gone since.
listing_received = Signal()

# A host reported single domains, out of turn. Sent in a transaction, with `host_id: int` and
# `domains: list[DomainFacts]`: what is not among them stays as it is known.
domain_reported = Signal()

# Domains of a host are there no more. Sent in a transaction, with `host_id: int` and `uuids: list[UUID]`.
domain_gone = Signal()
