"""What the environment says, read with care. A mistake raises ImproperlyConfigured with one clear line."""

import importlib.util
import ipaddress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

env = environ.Env()


def whole_number(name: str, default: int, low: int, high: int) -> int:
    text = env.str(name, default=str(default))
    if not text.isdecimal() or not low <= int(text) <= high:
        raise ImproperlyConfigured(f"{name} must be a whole number from {low} to {high}, not {text!r}.")
    return int(text)


def log_level() -> str:
    text = str(env.str("VIRSHMANAGER_LOG_LEVEL", default="INFO")).upper()
    if text not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ImproperlyConfigured(
            f"VIRSHMANAGER_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR, not {text!r}."
        )
    return text


def listen_address() -> str:
    text = env.str("VIRSHMANAGER_LISTEN", default="127.0.0.1")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ImproperlyConfigured(f"VIRSHMANAGER_LISTEN must be an IP address, not {text!r}.") from None


def is_address(text: str, schemes: set[str]) -> bool:
    """Whether a text is a URL of one of the schemes, and the port in it, if any, can be."""
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and parts.port != 0
    except ValueError:
        return False


def proxy_url() -> str:
    """Where people reach the server, when a TLS proxy stands before it; written as browsers do (RFC 6454)."""
    text = str(env.str("VIRSHMANAGER_URL", default="")).rstrip("/").lower().removesuffix(":443")
    if text and not (is_address(text, {"https"}) and text == f"https://{urlsplit(text).netloc}"):
        raise ImproperlyConfigured(f"VIRSHMANAGER_URL must be https:// and a name, not {text!r}.")
    return text


def proxies() -> list[str]:
    """From where X-Forwarded-For is believed: the addresses and networks of the declared proxy."""
    texts = str(env.str("VIRSHMANAGER_PROXY", default="127.0.0.1,::1")).split(",")
    try:
        return [str(ipaddress.ip_network(text.strip())) for text in texts]
    except ValueError as error:
        raise ImproperlyConfigured(
            f"VIRSHMANAGER_PROXY must be IP addresses or networks with commas between: {error}."
        ) from None


def database(home: Path) -> dict[str, object]:
    """SQLite in WAL mode by default; a write waits for its turn up to 20 s before it gives up."""
    default = "sqlite:///" + quote(str(home / "db.sqlite3"))
    text = str(env.str("DATABASE_URL", default=default))
    if not is_address(text, {"sqlite", "postgres", "postgresql"}):
        raise ImproperlyConfigured("DATABASE_URL must be a sqlite:/// or postgresql:// address.")
    try:
        config: dict[str, object] = env.db_url("DATABASE_URL", default=default)
    except (ValueError, ImproperlyConfigured):
        raise ImproperlyConfigured("DATABASE_URL is not a database URL.") from None
    # In threads that answer one request after another; see virshmanager/threads.py.
    config |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
    if urlsplit(text).scheme == "sqlite":
        config["OPTIONS"] = {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    return config


def secret(name: str, file_name: str) -> str:
    """What one variable says, or what is in the file that the other names, without the space around it."""
    text, path = str(env.str(name, default="")), str(env.str(file_name, default=""))
    if text and path:
        raise ImproperlyConfigured(f"{name} and {file_name} are both set: one is enough.")
    try:
        return Path(path).read_text(encoding="utf-8").strip() if path else text
    except (OSError, UnicodeDecodeError):
        raise ImproperlyConfigured(f"{file_name}={path} cannot be read.") from None


class OpenIdProvider(NamedTuple):
    """An OpenID Connect provider: its issuer, and as which client we are known to it."""

    url: str
    client_id: str
    client_secret: str
    name: str
    groups_claim: str

    @property
    def origin(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    def for_allauth(self) -> dict[str, Any]:
        """The setting SOCIALACCOUNT_PROVIDERS."""
        app = {
            "provider_id": "oidc",
            "name": self.name,
            "client_id": self.client_id,
            "secret": self.client_secret,
            "settings": {"server_url": self.url},
        }
        return {"openid_connect": {"APPS": [app]}}


def openid_provider() -> OpenIdProvider | None:
    """The provider that lets people in, if there is one. Beyond this machine it is asked by TLS alone."""
    url = str(env.str("VIRSHMANAGER_OIDC_URL", default="")).rstrip("/")
    if not url:
        return None
    parts = urlsplit(url) if is_address(url, {"https", "http"}) else None
    if (
        parts is None
        or not parts.hostname
        or parts.query
        or parts.fragment
        or (parts.scheme == "http" and not _is_loopback(parts.hostname))
    ):
        raise ImproperlyConfigured(f"VIRSHMANAGER_OIDC_URL must be https:// and the issuer, not {url!r}.")
    client_id = str(env.str("VIRSHMANAGER_OIDC_CLIENT_ID", default=""))
    client_secret = secret("VIRSHMANAGER_OIDC_CLIENT_SECRET", "VIRSHMANAGER_OIDC_CLIENT_SECRET_FILE")
    if not (client_id and client_secret):
        raise ImproperlyConfigured(
            "VIRSHMANAGER_OIDC_URL needs VIRSHMANAGER_OIDC_CLIENT_ID and VIRSHMANAGER_OIDC_CLIENT_SECRET too."
        )
    return OpenIdProvider(
        url=url,
        client_id=client_id,
        client_secret=client_secret,
        name=str(env.str("VIRSHMANAGER_OIDC_NAME", default="OpenID Connect")),
        groups_claim=str(env.str("VIRSHMANAGER_OIDC_GROUPS_CLAIM", default="")),
    )


class Directory(NamedTuple):
    """An LDAP directory: where people and groups are, and as whom it is searched."""

    url: str
    start_tls: bool
    authorities: str
    users: str
    filter: str
    groups: str
    bind_dn: str
    bind_password: str


def ldap_directory() -> Directory | None:
    """The directory that lets people in, if there is one. Beyond this machine it is asked by TLS alone."""
    url = env.str("VIRSHMANAGER_LDAP_URL", default="")
    if not url:
        return None
    if importlib.util.find_spec("django_auth_ldap") is None:
        raise ImproperlyConfigured("VIRSHMANAGER_LDAP_URL needs what requirements-ldap.txt names.")
    parts = urlsplit(url)
    if not (
        is_address(url, {"ldap", "ldaps"}) and parts.hostname and url == f"{parts.scheme}://{parts.netloc}"
    ):
        raise ImproperlyConfigured(
            f"VIRSHMANAGER_LDAP_URL must be ldaps:// or ldap:// and a name, not {url!r}."
        )
    return Directory(
        url=url,
        start_tls=parts.scheme == "ldap" and not _is_loopback(parts.hostname),
        authorities=env.str("VIRSHMANAGER_LDAP_CA", default=""),
        users=_required("VIRSHMANAGER_LDAP_USERS"),
        filter=_user_filter(),
        groups=env.str("VIRSHMANAGER_LDAP_GROUPS", default=""),
        bind_dn=env.str("VIRSHMANAGER_LDAP_BIND_DN", default=""),
        bind_password=secret("VIRSHMANAGER_LDAP_BIND_PASSWORD", "VIRSHMANAGER_LDAP_BIND_PASSWORD_FILE"),
    )


def _required(name: str) -> str:
    text: str = env.str(name, default="")
    if not text:
        raise ImproperlyConfigured(f"{name} is missing; VIRSHMANAGER_LDAP_URL needs it.")
    return text


def _user_filter() -> str:
    text: str = env.str("VIRSHMANAGER_LDAP_FILTER", default="(uid=%(user)s)")
    if "%(user)s" in text and "%" not in text.replace("%(user)s", ""):
        return text
    raise ImproperlyConfigured(
        f"VIRSHMANAGER_LDAP_FILTER must name %(user)s, as in (uid=%(user)s), not {text!r}."
    )


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def signer_of_theirs() -> Path | None:
    """Where a signer listens that `script/server` does not start."""
    text = str(env.str("VIRSHMANAGER_SIGNER", default=""))
    if text and not Path(text).is_absolute():
        raise ImproperlyConfigured(f"VIRSHMANAGER_SIGNER must be the whole path of a socket, not {text!r}.")
    return Path(text) if text else None


def redis_url(home: Path) -> str:
    text = str(env.str("REDIS_URL", default=f"unix://{home / 'redis.sock'}"))
    if not is_address(text, {"redis", "rediss", "unix"}):
        raise ImproperlyConfigured("REDIS_URL must be a redis://, rediss:// or unix:// address.")
    return text
