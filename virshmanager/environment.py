"""What the environment says, read with care. A mistake raises ImproperlyConfigured with one clear line."""

import ipaddress
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
