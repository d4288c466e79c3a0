"""The matrix of access, as data: which role each method of each route needs, on what.

A route that is not here, and not among those that are open to strangers, fails the tests. So does a method
that is offered and not in its row.
"""

from typing import Final, Literal, NamedTuple

from access.choices import Role

L: Final = 0  # a login is enough, without any grant
V, O, A = Role.VIEWER, Role.OPERATOR, Role.ADMINISTRATOR  # noqa: E741 -- the letters of a table
# What a route is about. `own`: what a role anywhere opens, since it shows only what one may see; `mine`: one
# thing of the caller's own, which is not there for others. `account`: how one logs in.
Kind = Literal["account", "own", "mine", "fleet", "host", "domain", "operation"]
METHODS: Final = ("get", "post", "put", "patch", "delete")


class Route(NamedTuple):
    """The role that each method needs on what the route is about. What is not named is not offered."""

    kind: Kind
    get: int | None = None
    post: int | None = None
    put: int | None = None
    patch: int | None = None
    delete: int | None = None

    def needs(self, method: str) -> int | None:
        role: int | None = getattr(self, method)
        return role


ROUTES: Final[dict[str, Route]] = {
    # How one logs in, and out.
    **dict.fromkeys(
        (
            *("account_change_password", "account_reauthenticate", "usersessions_list"),
            *("mfa_reauthenticate", "mfa_reauthenticate_webauthn"),
            *("mfa_activate_totp", "mfa_deactivate_totp", "mfa_generate_recovery_codes"),
            *("mfa_add_webauthn", "mfa_edit_webauthn", "mfa_remove_webauthn"),
        ),
        Route("account", L, L),
    ),
    "mfa_index": Route("account", L),
    "oidc-reauthenticate": Route("account", L),
    "mfa_list_webauthn": Route("account", L, L, L, L, L),
    "mfa_view_recovery_codes": Route("account", L),
    # Pages.
    "overview": Route("own", V),
    "domains": Route("own", V),
    "hosts": Route("own", V),
    "operations": Route("own", V),
    "open-operations": Route("own", V),
    "tokens": Route("own", V),
    "create-token": Route("own", post=V),
    "quota": Route("own", V),
    "bulk-domains": Route("own", O, O),
    "host": Route("host", V),
    "host-row": Route("host", V),
    "host-domains": Route("host", V),
    "probe-host": Route("host", post=A),
    "trust": Route("host", V),
    "test-connection": Route("host", post=A),
    "adopt-host": Route("host", A, A),
    "approve-host": Route("host", A, A),
    "deny-host": Route("host", A, A),
    "retire-host": Route("host", A, A),
    "define-domain": Route("host", A, A),
    "domain": Route("domain", V),
    "domain-row": Route("domain", V),
    "domain-verbs": Route("domain", V),
    "domain-definition": Route("domain", V),
    "domain-screen": Route("domain", V),
    "console": Route("domain", V),
    "domain-verb": Route("domain", O, O),
    "edit-domain": Route("domain", O, O),
    "forget-domain": Route("domain", A, A),
    "operation": Route("operation", V),
    "cancel-operation": Route("operation", O, O),
    **dict.fromkeys(
        (
            *("discovery", "range", "range-card", "range-map", "range-address", "crawl", "join-keys"),
            *("audit", "export-audit", "auditentry-list", "auditentry-export"),
            *("users", "user", "groups", "group", "explain", "explain-api"),
        ),
        Route("fleet", A),
    ),
    **dict.fromkeys(
        (
            *("add-range", "edit-range", "delete-range", "add-host"),
            *("create-join-key", "revoke-join-key", "approve-hosts"),
        ),
        Route("fleet", A, A),
    ),
    **dict.fromkeys(
        (
            *("set-active", "put-into-groups", "grant-to-user"),
            *("create-group", "grant-to-group", "revoke-grant", "limit-user", "limit-group"),
        ),
        Route("fleet", post=A),
    ),
    "create-user": Route("fleet", A, A),
    "rename-group": Route("fleet", A, A),
    "delete-group": Route("fleet", A, A),
    "start-crawl": Route("fleet", post=A),
    "cancel-crawl": Route("fleet", post=A),
    "delete-token": Route("mine", post=V),
    # The API.
    "api-root": Route("fleet", A),
    "schema": Route("own", V),
    "api-docs": Route("own", V),
    "summary": Route("own", V),
    "metrics": Route("fleet", A),
    "host-list": Route("own", V),
    "domain-list": Route("own", V),
    "operation-list": Route("own", V),
    "host-approve-many": Route("fleet", post=A),
    "user-list": Route("fleet", A, A),
    "user-detail": Route("fleet", A, patch=A),
    "group-list": Route("fleet", A, A),
    "group-detail": Route("fleet", A, patch=A, delete=A),
    "user-quota": Route("fleet", A, put=A),
    "group-quota": Route("fleet", A, put=A),
    "own-quota": Route("own", V),
    "grant-list": Route("fleet", A, A),
    "grant-detail": Route("fleet", A, delete=A),
    "apitoken-list": Route("own", V, V),
    "domain-bulk": Route("own", post=O),
    "host-detail": Route("host", V, delete=A),
    "host-metrics": Route("host", V),
    "host-define": Route("host", post=A),
    "host-trust": Route("host", V),
    "host-test-connection": Route("host", post=A),
    "host-adopt": Route("host", post=A),
    "host-approve": Route("host", post=A),
    "host-deny": Route("host", post=A),
    "host-probe": Route("host", post=A),
    "host-retire": Route("host", post=A),
    "domain-detail": Route("domain", V, patch=O, delete=A),
    "domain-metrics": Route("domain", V),
    "domain-xml": Route("domain", V),
    "domain-screenshot": Route("domain", V),
    "domain-console": Route("domain", post=V),
    "domain-undefine": Route("domain", post=A),
    **{
        f"domain-{verb}": Route("domain", post=O)
        for verb in (
            *("start", "shutdown", "reboot", "reset", "force-off", "suspend", "resume", "save", "restore"),
            "autostart",
        )
    },
    "operation-detail": Route("operation", V),
    "operation-cancel": Route("operation", post=O),
    "range-list": Route("fleet", A, A),
    "range-detail": Route("fleet", A, put=A, patch=A, delete=A),
    "range-crawl": Route("fleet", post=A),
    "crawl-list": Route("fleet", A),
    "crawl-detail": Route("fleet", A),
    "crawl-cancel": Route("fleet", post=A),
    "address-list": Route("fleet", A),
    "joinkey-list": Route("fleet", A, A),
    "joinkey-detail": Route("fleet", A, delete=A),
    "apitoken-detail": Route("mine", V, delete=V),
}
# Of lists of what one may see: what changes the fleet.
BESIDES: Final[dict[str, Route]] = {"host-list": Route("fleet", post=A)}
# What of an object a grant opens that covers it.
REACH: Final[dict[str, frozenset[Kind]]] = {
    "everything": frozenset({"own", "fleet", "host", "domain", "operation"}),
    "host": frozenset({"own", "host", "domain", "operation"}),
    "tag": frozenset({"own", "domain", "operation"}),
    "domain": frozenset({"own", "domain", "operation"}),
    "another": frozenset({"own"}),
    "nothing": frozenset(),
}
