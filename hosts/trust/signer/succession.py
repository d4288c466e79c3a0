"""The authority that signs now, and the one that follows it."""

from .. import keys
from .issuer import Issuer, self_signed


class Succession:
    """`following` signs nothing yet: its certificate is spread, and one day it takes over."""

    def __init__(self, present: Issuer, following: Issuer | None = None) -> None:
        self.present = present
        self.following = following

    def prepare(self) -> Issuer:
        """Return the authority that follows, made the first time."""
        if self.following is None:
            self.following = self._make()
        return self.following

    def take_over(self, fingerprint: str) -> Issuer:
        """Let the authority with this certificate sign from now on. Said twice, it is done once.

        The key of the one before is gone then.

        Raises:
            LookupError: when it is another one that follows, or none.
        """
        if self.following and self.following.fingerprint == fingerprint:
            self._install()
            self.present, self.following = self.following, None
        if self.present.fingerprint != fingerprint:
            raise LookupError(fingerprint)
        return self.present

    def _make(self) -> Issuer:
        key = keys.new_key()
        return Issuer(key, self_signed(key))

    def _install(self) -> None:
        """Keep it where the one before was kept."""
