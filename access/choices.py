"""Stable words of access. docs/audit.md lists those of the audit; none is ever given another meaning."""

from django.db.models import IntegerChoices, TextChoices
from django.utils.translation import gettext_lazy as _

LONGEST_TAG = 64
# Of a quota. Both fit their columns on every database.
MOST_COUNTED = 1_000_000
MOST_BYTES = 2**60


class Role(IntegerChoices):
    """What somebody may do; each role may do what those below it may."""

    VIEWER = 1, _("Viewer")
    OPERATOR = 2, _("Operator")
    ADMINISTRATOR = 3, _("Administrator")


class Target(TextChoices):
    """What a grant is for: the whole fleet, the domains with a tag, a host with its domains, or a domain."""

    EVERYTHING = "everything", _("Everything")
    TAG = "tag", _("Tag")
    HOST = "host", _("Host")
    DOMAIN = "domain", _("Domain")


class Resource(TextChoices):
    """What quotas limit."""

    DOMAINS = "domains", _("Domains")
    VCPUS = "vcpus", _("vCPUs")
    MEMORY = "memory", _("Memory")
    DISK = "disk", _("Disk")

    @property
    def in_bytes(self) -> bool:
        return self in {Resource.MEMORY, Resource.DISK}


class Scope(TextChoices):
    """What a program may do with a token; each may do what those before it may."""

    READ = "read", _("Read")
    OPERATE = "operate", _("Operate")
    ADMINISTER = "administer", _("Administer")


class Via(TextChoices):
    """By what somebody acted."""

    SESSION = "session", _("session")
    TOKEN = "token", _("API token")
    COMMAND = "command", _("command")
    SYSTEM = "system", _("the server itself")
    STRANGER = "stranger", _("no login")


class Result(TextChoices):
    """How it went. An operation that ended has its verdict instead of `ok`."""

    OK = "ok", _("done")
    REFUSED = "refused", _("refused")
    SUCCEEDED = "succeeded", _("succeeded")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")
    EXPIRED = "expired", _("expired")
    UNKNOWN = "unknown", _("unknown")


class Action(TextChoices):
    """What was done: the thing, and what became of it."""

    LOGIN = "login", _("signed in")
    LOGIN_FAIL = "login.fail", _("failed to sign in")
    LOGOUT = "logout", _("signed out")
    SESSIONS_END = "sessions.end", _("ended the other sessions")
    PASSWORD_CHANGE = "password.change", _("changed a password")
    FACTOR_ADD = "factor.add", _("added a second factor")
    FACTOR_REMOVE = "factor.remove", _("removed a second factor")
    ACCESS_REFUSE = "access.refuse", _("asked for what is not permitted")
    SETUP_LINK_CREATE = "setup_link.create", _("made a setup link")
    RECOVERY_LINK_CREATE = "recovery_link.create", _("made a link for who is locked out")
    USER_CREATE = "user.create", _("made a user")
    USER_CHANGE = "user.change", _("changed a user")
    USER_DELETE = "user.delete", _("deleted a user")
    GROUP_CREATE = "group.create", _("made a group")
    GROUP_CHANGE = "group.change", _("changed a group")
    GROUP_DELETE = "group.delete", _("deleted a group")
    GROUP_JOIN = "group.join", _("put a user into a group")
    GROUP_LEAVE = "group.leave", _("took a user out of a group")
    GRANT_CREATE = "grant.create", _("granted a role")
    GRANT_CHANGE = "grant.change", _("changed a grant")
    GRANT_REVOKE = "grant.revoke", _("revoked a grant")
    QUOTA_SET = "quota.set", _("set a quota")
    QUOTA_LIFT = "quota.lift", _("lifted a quota")
    TOKEN_CREATE = "token.create", _("made an API token")
    TOKEN_REVOKE = "token.revoke", _("revoked an API token")
    ADMIN_ADD = "admin.add", _("added in the admin")
    ADMIN_CHANGE = "admin.change", _("changed in the admin")
    ADMIN_DELETE = "admin.delete", _("deleted in the admin")
    JOIN_KEY_CREATE = "join_key.create", _("made a join key")
    JOIN_KEY_REVOKE = "join_key.revoke", _("revoked a join key")
    HOST_ADD = "host.add", _("added a host by hand")
    HOST_ADOPT = "host.adopt", _("adopted a host by its code")
    HOST_APPROVE = "host.approve", _("approved a host")
    HOST_DENY = "host.deny", _("denied a host")
    HOST_RETIRE = "host.retire", _("retired a host")
    HOST_FORGET = "host.forget", _("forgot a host")
    HOST_ENROL = "host.enrol", _("enrolled a host")
    HOST_RENEW = "host.renew", _("renewed a certificate")
    HOST_LOSE = "host.lose", _("lost a host that was reset")
    AUTHORITY_ROTATE = "authority.rotate", _("began to follow the authority")
    AUTHORITY_TAKE_OVER = "authority.take_over", _("let the new authority sign")
    AUTHORITY_LEAVE = "authority.leave", _("let the old authority go")
    KEY_QUARANTINE = "key.quarantine", _("quarantined a key")
    KEY_RELEASE = "key.release", _("released a quarantined key")
    RANGE_CREATE = "range.create", _("made a range")
    RANGE_CHANGE = "range.change", _("changed a range")
    RANGE_DELETE = "range.delete", _("removed a range")
    CRAWL_START = "crawl.start", _("started a crawl")
    CRAWL_CANCEL = "crawl.cancel", _("cancelled a crawl")
    OPERATION_ACCEPT = "operation.accept", _("asked for an operation")
    OPERATION_CANCEL = "operation.cancel", _("cancelled an operation")
    OPERATION_END = "operation.end", _("had an operation end")
    DOMAIN_FORGET = "domain.forget", _("forgot a domain")
    CONSOLE_OPEN = "console.open", _("opened a console")
