"""A mistake in a setting stops the start with one clear line."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from virshmanager.environment import ldap_directory, openid_provider


def manage(home: Path, *command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": os.environ["PATH"], "VIRSHMANAGER_HOME": str(home)} | variables
    return subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VIRSHMANAGER_PORT", "http"),
        ("VIRSHMANAGER_PORT", "65536"),
        ("VIRSHMANAGER_PORT", "-1"),
        ("VIRSHMANAGER_LISTEN", "localhost"),
        ("VIRSHMANAGER_LISTEN", "0.0.0.0"),  # noqa: S104 -- that is what must be refused
        ("VIRSHMANAGER_URL", "http://manager.example"),
        ("VIRSHMANAGER_URL", "manager.example"),
        ("VIRSHMANAGER_URL", "https://[::1"),
        ("VIRSHMANAGER_URL", "https://manager.example:99999"),
        ("VIRSHMANAGER_URL", "https://manager.example/path"),
        ("VIRSHMANAGER_PROXY", ""),
        ("VIRSHMANAGER_PROXY", "*"),
        ("VIRSHMANAGER_PROXY", "192.0.2.1/24"),
        ("VIRSHMANAGER_PROXY", "192.0.2.1 192.0.2.2"),
        ("VIRSHMANAGER_OIDC_URL", "http://provider.example"),
        ("VIRSHMANAGER_OIDC_URL", "provider.example"),
        ("VIRSHMANAGER_OIDC_URL", "https://"),
        ("VIRSHMANAGER_OIDC_URL", "https://provider.example/?tenant=1"),
        ("VIRSHMANAGER_OIDC_URL", "https://provider.example"),
        ("VIRSHMANAGER_LDAP_URL", "http://directory.example"),
        ("VIRSHMANAGER_LDAP_URL", "ldaps://"),
        ("VIRSHMANAGER_LDAP_URL", "ldaps://directory.example/dc=example"),
        ("VIRSHMANAGER_LDAP_URL", "ldaps://directory.example"),
        ("VIRSHMANAGER_LOG_LEVEL", "LOUD"),
        ("VIRSHMANAGER_HOME", ""),
        ("VIRSHMANAGER_HOME", "/proc/nowhere"),
        ("DATABASE_URL", "mysql://localhost/x"),
        ("DATABASE_URL", "nonsense"),
        ("DATABASE_URL", "postgresql://user:password@host:port/name"),
        ("DATABASE_URL", "postgresql://[::1/name"),
        ("REDIS_URL", "http://localhost"),
        ("REDIS_URL", "redis://localhost:port"),
    ],
)
def test_a_mistake_is_told_in_one_line(tmp_path: Path, name: str, value: str) -> None:
    ended = manage(tmp_path, "check", **{name: value})
    assert ended.returncode != 0
    assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr
    assert ended.stderr.startswith("virshmanager: ")
    assert name in ended.stderr or (value and value in ended.stderr)


@pytest.mark.parametrize("text", ["(uid=eve)", "(uid=%s)", "(uid=%(name)s)", "(uid=%(user)"])
def test_a_filter_that_finds_no_name_is_told(tmp_path: Path, text: str) -> None:
    directory = {
        "VIRSHMANAGER_LDAP_URL": "ldaps://directory.example",
        "VIRSHMANAGER_LDAP_USERS": "dc=example",
    }
    ended = manage(tmp_path, "check", VIRSHMANAGER_LDAP_FILTER=text, **directory)
    assert ended.returncode != 0
    assert ended.stderr.startswith("virshmanager: VIRSHMANAGER_LDAP_FILTER")


@pytest.mark.parametrize(
    ("url", "start_tls"),
    [
        ("ldap://directory.example", True),
        ("ldaps://directory.example", False),
        ("ldap://127.0.0.1:389", False),
        ("ldap://localhost", False),
    ],
)
def test_beyond_this_machine_a_directory_is_asked_by_tls(
    monkeypatch: pytest.MonkeyPatch, url: str, *, start_tls: bool
) -> None:
    monkeypatch.setenv("VIRSHMANAGER_LDAP_URL", url)
    monkeypatch.setenv("VIRSHMANAGER_LDAP_USERS", "dc=example")
    directory = ldap_directory()
    assert directory is not None
    assert directory.start_tls is start_tls


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"VIRSHMANAGER_OIDC_CLIENT_SECRET": "x", "VIRSHMANAGER_OIDC_CLIENT_SECRET_FILE": "/etc/hostname"},
        {"VIRSHMANAGER_OIDC_CLIENT_SECRET_FILE": "/nowhere"},
        {"VIRSHMANAGER_OIDC_CLIENT_SECRET_FILE": "/dev/null"},
    ],
)
def test_a_secret_that_is_missing_or_there_twice_is_told(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    told = {
        "VIRSHMANAGER_OIDC_URL": "https://provider.example",
        "VIRSHMANAGER_OIDC_CLIENT_ID": "manager",
    }
    for name, value in (told | variables).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match="VIRSHMANAGER_OIDC_CLIENT_SECRET"):
        openid_provider()


@pytest.mark.parametrize(
    "variables",
    [
        {"VIRSHMANAGER_LDAP_BIND_PASSWORD": "x", "VIRSHMANAGER_LDAP_BIND_PASSWORD_FILE": "/etc/hostname"},
        {"VIRSHMANAGER_LDAP_BIND_PASSWORD_FILE": "/nowhere"},
    ],
)
def test_so_is_the_password_for_a_directory(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    told = {"VIRSHMANAGER_LDAP_URL": "ldaps://ldap.example", "VIRSHMANAGER_LDAP_USERS": "dc=example"}
    for name, value in (told | variables).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match="VIRSHMANAGER_LDAP_BIND_PASSWORD_FILE"):
        ldap_directory()


def test_the_password_for_a_directory_may_lie_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("bind-password\n")
    monkeypatch.setenv("VIRSHMANAGER_LDAP_URL", "ldaps://ldap.example")
    monkeypatch.setenv("VIRSHMANAGER_LDAP_USERS", "dc=example")
    monkeypatch.setenv("VIRSHMANAGER_LDAP_BIND_PASSWORD_FILE", str(tmp_path / "secret"))
    directory = ldap_directory()
    assert directory
    assert directory.bind_password == "bind-password"


def test_a_secret_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("client-secret\n")
    monkeypatch.setenv("VIRSHMANAGER_OIDC_URL", "https://provider.example/realms/house/")
    monkeypatch.setenv("VIRSHMANAGER_OIDC_CLIENT_ID", "manager")
    monkeypatch.setenv("VIRSHMANAGER_OIDC_CLIENT_SECRET_FILE", str(tmp_path / "secret"))
    provider = openid_provider()
    assert provider
    assert (provider.client_secret, provider.origin) == ("client-secret", "https://provider.example")


def test_a_fresh_folder_is_private_and_keeps_its_secret(tmp_path: Path) -> None:
    home = tmp_path / "state"
    assert manage(home, "check").returncode == 0
    secret = (home / "secret_key").read_text()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "secret_key").stat().st_mode) == 0o600
    assert manage(home, "check").returncode == 0
    assert (home / "secret_key").read_text() == secret


def test_with_a_tls_proxy_the_cookies_are_secure(tmp_path: Path) -> None:
    shown = manage(
        tmp_path, "diffsettings", VIRSHMANAGER_URL="https://manager.example", VIRSHMANAGER_LISTEN="192.0.2.1"
    )
    assert "SESSION_COOKIE_SECURE = True" in shown.stdout
    assert "SECURE_HSTS_SECONDS = 31536000" in shown.stdout
    assert "'manager.example'" in shown.stdout
