"""What access refuses.

AccessError
├── LoginEnded      a login is none, or none any more, or its user may nothing
├── SetupClosed     the setup link is wrong, spent or expired, or there is a user already
└── NoSuchUser      no active user has this name
"""


class AccessError(Exception):
    """Access was refused for a reason that may be told."""


class LoginEnded(AccessError):
    pass


class SetupClosed(AccessError):
    pass


class NoSuchUser(AccessError):
    pass
