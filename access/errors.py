"""What access refuses.

AccessError
├── SetupClosed     the setup link is wrong, spent or expired, or there is a user already
└── NoSuchUser      no active user has this name
"""


class AccessError(Exception):
    """Access was refused for a reason that may be told."""


class SetupClosed(AccessError):
    pass


class NoSuchUser(AccessError):
    pass
