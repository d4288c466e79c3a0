"""Settings: defaults, then ``/etc/virshmanager/daemon.toml``, then the environment, then arguments."""

from __future__ import annotations

import dataclasses
import ipaddress
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from virshmanagerd import faults

if TYPE_CHECKING:
    from collections.abc import Mapping

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path("/etc/virshmanager/daemon.toml")
PREFIX = "VIRSHMANAGERD_"
HIGHEST_PORT = 65535


class ConfigError(Exception):
    """A setting that cannot be used; its text is one line for a person."""


@dataclass(frozen=True)
class Config:
    """The settings of one daemon.

    ``machine_id_file`` and ``hostname`` (None: the system's) are no settings: they are here so that one
    machine can play many.
    """

    listen: str = "0.0.0.0"  # noqa: S104 - the daemon is there to be found; strangers are refused by TLS
    port: int = 16510
    uri: str = "qemu:///system"
    state_dir: Path = Path("/var/lib/virshmanagerd")
    join_file: Path = Path("/etc/virshmanager/join.json")
    machine_id_file: Path = Path("/etc/machine-id")
    hostname: str | None = None


SETTINGS = ("listen", "port", "uri", "state_dir", "join_file")


def load(arguments: Mapping[str, str], environ: Mapping[str, str], file: Path = FILE) -> Config:
    """Merge all sources into one ``Config``; a later source wins.

    Raises:
        ConfigError: for an unknown setting, a wrong type or a value out of range.
    """
    values: dict[str, object] = {}
    for source, found in (
        (str(file), _read_file(file)),
        ("the environment", _from_environment(environ)),
        ("the command line", arguments),
    ):
        for name, value in found.items():
            values[name] = _check(name, value, source)
    return dataclasses.replace(Config(), **values)  # type: ignore[arg-type]


def _read_file(file: Path) -> Mapping[str, object]:
    try:
        with file.open("rb") as stream:
            return dict(tomllib.load(stream))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: {error}") from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        key.removeprefix(PREFIX).lower(): value
        for key, value in environ.items()
        if key.startswith(PREFIX) and key != faults.VARIABLE
    }


def _check(name: str, value: object, source: str) -> object:
    if name not in SETTINGS:
        raise ConfigError(f"{source}: there is no setting {name!r} (there are: {', '.join(SETTINGS)})")
    if name == "port":
        return _port(value, source)
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{source}: {name} must be a text that is not empty")
    if name in {"state_dir", "join_file"}:
        return _path(name, value, source)
    if name == "listen":
        return _address(value, source)
    return value


def _port(value: object, source: str) -> int:
    port = int(value) if isinstance(value, str) and value.isdecimal() else value
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port <= HIGHEST_PORT:
        raise ConfigError(f"{source}: port must be a number from 1 to 65535, not {value!r}")
    return port


def _path(name: str, value: str, source: str) -> Path:
    path = Path(value)
    if not path.is_absolute():
        raise ConfigError(f"{source}: {name} must be an absolute path, not {value!r}")
    return path


def _address(value: str, source: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ConfigError(f"{source}: listen must be an IP address, not {value!r}") from None
