"""Every answer tells the browser what it may do with it, whatever became of the request."""

from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from django.http import HttpRequest, HttpResponseBase
from django.test import Client, override_settings
from django.urls import get_resolver, path

from tests.access.test_doors import addresses
from virshmanager.management.commands.check_headers import LEAST
from virshmanager.observatory import Visit, findings, score

from .test_settings import manage

SAME_ON_ALL = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
DEPLOYED = {"VIRSHMANAGER_URL": "https://manager.example", "VIRSHMANAGER_LISTEN": "192.0.2.1"}


def assert_guarded(answer: HttpResponseBase) -> None:
    directives = dict(part.split(maxsplit=1) for part in answer["Content-Security-Policy"].split("; "))
    assert directives["default-src"] == directives["base-uri"] == directives["frame-ancestors"] == "'none'"
    assert directives["script-src"] == "'self'"
    assert {name: answer[name] for name in SAME_ON_ALL} == SAME_ON_ALL
    assert "camera=()" in answer["Permissions-Policy"]
    assert "Access-Control-Allow-Origin" not in answer


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "address"), list(addresses()))
def test_every_route_answers_with_them(browser: Client, stranger: Client, name: str, address: str) -> None:
    for client in (stranger, browser):
        assert_guarded(client.get(address))
        assert_guarded(client.delete(address))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("address", "status"),
    [("/static/app.css", 200), ("/nowhere/", 404), ("/api/nowhere/", 404), ("/hosts", 301)],
)
def test_so_do_files_errors_and_redirects(browser: Client, address: str, status: int) -> None:
    answer = browser.get(address)
    answer.close()
    assert answer.status_code == status
    assert_guarded(answer)


@pytest.mark.parametrize("redirected", ["", "manager.example"])
def test_so_does_a_request_that_names_another_host(stranger: Client, redirected: str) -> None:
    with override_settings(SECURE_SSL_REDIRECT=bool(redirected), SECURE_SSL_HOST=redirected):
        answer = stranger.get("/nowhere", headers={"Host": "elsewhere.example"})
    assert answer.status_code == (301 if redirected else 400)
    assert answer.headers.get("Location", "") == ("https://manager.example/nowhere" if redirected else "")
    assert_guarded(answer)


@pytest.mark.django_db
def test_so_does_a_defect_of_ours(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(request: HttpRequest) -> HttpResponseBase:
        raise RuntimeError("planted")

    monkeypatch.setitem(get_resolver().__dict__, "url_patterns", [path("", broken)])
    answer = browser.get("/")
    assert answer.status_code == 500
    assert_guarded(answer)


@override_settings(SECURE_HSTS_SECONDS=31536000)
def test_https_is_promised_over_https_alone(stranger: Client) -> None:
    assert "Strict-Transport-Security" not in stranger.get("/healthz")
    assert stranger.get("/healthz", secure=True)["Strict-Transport-Security"] == "max-age=31536000"


def test_the_settings_of_a_server_behind_tls_pass_the_checks_of_a_deployment(tmp_path: Path) -> None:
    ended = manage(tmp_path, "check", "--deploy", "--fail-level", "WARNING", **DEPLOYED)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("page", ["/", "/api/docs/", "/admin/", "/nowhere/"])
def test_the_observatory_gives_them_its_best_mark(tmp_path: Path, page: str) -> None:
    ended = manage(tmp_path, "check_headers", page, **DEPLOYED)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    total = int(ended.stdout.splitlines()[-1].split()[0])
    assert total >= LEAST == 115


def test_without_https_it_fails_and_says_why(tmp_path: Path) -> None:
    ended = manage(tmp_path, "check_headers")
    assert ended.returncode == 1
    assert "set VIRSHMANAGER_URL" in ended.stdout


# What scores best, and then what is lost by one change.
GOOD = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; frame-ancestors 'none'",
    "Strict-Transport-Security": "max-age=31536000",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
SESSION = "a_session=1; Secure; HttpOnly; SameSite=Lax"
SECURE = "https://manager.example/"


def of(cookie: str = SESSION, *, html: str = "", plain: str = SECURE, **changed: str) -> Visit:
    headers = GOOD | {name.replace("_", "-"): value for name, value in changed.items()}
    return Visit(headers, html, list(SimpleCookie(cookie).values()), plain)


def ruled(policy: str) -> Visit:
    return of(Content_Security_Policy=f"{policy}; frame-ancestors 'none'")


@pytest.mark.parametrize(
    ("visit", "total"),
    [
        (of(), 135),
        (of(Content_Security_Policy=""), 55),  # with the policy goes its word on frames
        (of(Content_Security_Policy="", X_Frame_Options="DENY"), 75),
        (ruled("default-src 'self'"), 130),
        (ruled("default-src 'none'; style-src 'unsafe-inline'"), 125),
        (ruled("default-src 'none'; script-src 'unsafe-inline'"), 80),
        (ruled("default-src https:"), 80),
        (ruled("script-src 'self' 'unsafe-eval'; object-src 'none'"), 115),
        (of(""), 130),
        (of("a_session=1; HttpOnly; SameSite=Lax", Strict_Transport_Security=""), 40),
        (of("a_session=1; HttpOnly; SameSite=Lax"), 120),
        (of("a_session=1; Secure; SameSite=Lax"), 70),
        (of("a_csrf=1; Secure; HttpOnly"), 80),
        (of("theme=1; SameSite=Lax"), 125),
        (of("theme=1; Secure"), 130),
        (of(Strict_Transport_Security="max-age=3600"), 125),
        (of(Referrer_Policy="unsafe-url"), 125),
        (of(Referrer_Policy=""), 130),
        (of(X_Content_Type_Options=""), 130),
        (of(Cross_Origin_Resource_Policy="cross-origin"), 125),
        (of(Cross_Origin_Resource_Policy="nonsense"), 120),
        (of(Access_Control_Allow_Origin="*"), 50),
        (of(plain=""), 80),
        (of(html='<script src="https://cdn.example/x.js"></script>'), 130),
        (of(html='<script src="/x.js" integrity="sha256-x"></script>'), 140),
    ],
)
def test_what_is_missing_costs_points(visit: Visit, total: int) -> None:
    assert score(findings(visit)) == total, findings(visit)
