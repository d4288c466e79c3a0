"""What hosts tells the apps above it, without knowing them."""

from django.dispatch import Signal

# A host reported its domains. Sent in a transaction, with `host: Host` and `domains: list[DomainFacts]`.
listing_received = Signal()
