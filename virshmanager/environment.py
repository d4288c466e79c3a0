"""What the environment says, read with care. A mistake raises ImproperlyConfigured with one clear line."""

import importlib.util
import ipaddress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

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
        bind_password=env.str("VIRSHMANAGER_LDAP_BIND_PASSWORD", default=""),
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
