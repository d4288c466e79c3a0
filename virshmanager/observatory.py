"""The score that Mozilla's HTTP Observatory gives a site, by its published method, without asking it. Pure.

https://developer.mozilla.org/en-US/observatory/docs/tests_and_scoring: a site begins with 100 and loses
points for what is missing; one that keeps 90 also gets those for what is more than needed. The tests of what
others may read (CORS) and of HSTS know fewer cases here: we are on no preload list.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.cookies import Morsel
from typing import Final, NamedTuple

BASE: Final = 100
BONUS_FROM: Final = 90
SIX_MONTHS: Final = 15_768_000
SCRIPT = re.compile(r"<script\b[^>]*\bsrc=[^>]*>", re.IGNORECASE)
ELSEWHERE = re.compile(r"""\bsrc=["']?(?:https?:)?//""", re.IGNORECASE)
PRIVATE_REFERRERS = {"no-referrer", "same-origin", "strict-origin", "strict-origin-when-cross-origin"}
UNSAFE = {"'unsafe-inline'", "'unsafe-eval'"}
ANYTHING = {"*", "http:", "https:", "data:"}


@dataclass(frozen=True)
class Visit:
    """What a scanner saw: the page at the end of the redirects, all cookies, and where plain HTTP led."""

    headers: Mapping[str, str]
    html: str
    cookies: "list[Morsel[str]]" = field(default_factory=list)
    plain_http_location: str = ""

    def header(self, name: str) -> str:
        return self.headers.get(name, "").strip().lower()

    def sources(self) -> dict[str, set[str]]:
        """The directives of the Content Security Policy."""
        parts = [part.split() for part in self.header("Content-Security-Policy").split(";") if part.strip()]
        return {name: set(sources) for name, *sources in parts}


class Finding(NamedTuple):
    test: str
    points: int
    words: str


def policy(visit: Visit) -> tuple[int, str]:
    sources = visit.sources()
    default = sources.get("default-src", {"*"})
    scripts, styles = sources.get("script-src", default), sources.get("style-src", default)
    if not sources:
        return -25, "no Content Security Policy"
    if "'unsafe-inline'" in scripts or (scripts | sources.get("object-src", default)) & ANYTHING:
        return -20, "scripts inline or from anywhere"
    if "'unsafe-eval'" in scripts:
        return -10, "scripts may evaluate text"
    if styles & UNSAFE:
        return 0, "styles inline"
    return (10, "default-src 'none', nothing unsafe") if default == {"'none'"} else (5, "nothing unsafe")


def cookies(visit: Visit) -> tuple[int, str]:
    """A session's cookie is one whose name has `sess` or `login` in it, a CSRF token's one with `csrf`."""
    protected = bool(visit.header("Strict-Transport-Security"))
    sessions = [cookie for cookie in visit.cookies if re.search("sess|login", cookie.key, re.IGNORECASE)]
    restricted = [cookie for cookie in visit.cookies if cookie["samesite"].lower() in {"lax", "strict"}]
    loose = [cookie for cookie in visit.cookies if cookie not in restricted]
    if not visit.cookies:
        return 0, "none"
    if any(not cookie["secure"] for cookie in sessions):
        return -10 if protected else -40, "a session without Secure"
    if any(not cookie["httponly"] for cookie in sessions):
        return -30, "a session without HttpOnly"
    if any("csrf" in cookie.key.lower() for cookie in loose):
        return -20, "a CSRF token without SameSite"
    if any(not cookie["secure"] for cookie in visit.cookies):
        return -5 if protected else -20, "without Secure"
    return (0, "secure") if loose else (5, "secure, and for this site alone")


def sharing(visit: Visit) -> tuple[int, str]:
    if visit.header("Access-Control-Allow-Origin") == "*":
        return -50, "everybody may read the answers"
    return 0, "nobody else may read the answers"


def transport(visit: Visit) -> tuple[int, str]:
    age = re.search(r"max-age=(\d+)", visit.header("Strict-Transport-Security"))
    if age is None:
        return -20, "no HSTS"
    return (0, "HSTS") if int(age[1]) >= SIX_MONTHS else (-10, "HSTS for less than six months")


def redirection(visit: Visit) -> tuple[int, str]:
    secure = visit.plain_http_location.startswith("https://")
    return (0, "plain HTTP leads to HTTPS") if secure else (-20, "plain HTTP is answered")


def referrer(visit: Visit) -> tuple[int, str]:
    value = visit.header("Referrer-Policy")
    if not value:
        return 0, "not set"
    return (5, "private") if value in PRIVATE_REFERRERS else (-5, "addresses are told to others")


def integrity(visit: Visit) -> tuple[int, str]:
    scripts = SCRIPT.findall(visit.html)
    foreign = [script for script in scripts if ELSEWHERE.search(script)]
    if scripts and all(" integrity=" in script for script in scripts):
        return 5, "each script by its hash"
    if any(" integrity=" not in script for script in foreign):
        return -5, "scripts of others without a hash"
    return 0, "own scripts" if scripts else "no scripts"


def sniffing(visit: Visit) -> tuple[int, str]:
    told = visit.header("X-Content-Type-Options") == "nosniff"
    return (0, "types are not guessed") if told else (-5, "types are guessed")


def framing(visit: Visit) -> tuple[int, str]:
    ancestors = visit.sources().get("frame-ancestors", ANYTHING)
    if not ancestors & ANYTHING:
        return 5, "no frame, by frame-ancestors"
    denied = visit.header("X-Frame-Options") in {"deny", "sameorigin"}
    return (5, "no frame, by X-Frame-Options") if denied else (-20, "anybody may frame it")


def embedding(visit: Visit) -> tuple[int, str]:
    value = visit.header("Cross-Origin-Resource-Policy")
    if value in {"same-origin", "same-site"}:
        return 10, "for our pages alone"
    return (0, value or "not set") if value in {"", "cross-origin"} else (-5, "not understood")


TESTS: dict[str, Callable[[Visit], tuple[int, str]]] = {
    "Content Security Policy": policy,
    "Cookies": cookies,
    "Cross-origin sharing": sharing,
    "Strict Transport Security": transport,
    "Redirection": redirection,
    "Referrer Policy": referrer,
    "Subresource Integrity": integrity,
    "X-Content-Type-Options": sniffing,
    "X-Frame-Options": framing,
    "Cross-Origin Resource Policy": embedding,
}


def findings(visit: Visit) -> list[Finding]:
    return [Finding(name, *test(visit)) for name, test in TESTS.items()]


def score(found: list[Finding]) -> int:
    kept = BASE + sum(finding.points for finding in found if finding.points < 0)
    bonus = sum(finding.points for finding in found if finding.points > 0)
    return max(kept + bonus if kept >= BONUS_FROM else kept, 0)
