"""Who is let in by an OpenID Connect provider, and as whom: the whole flow with a real one, and its lies."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from django.contrib.auth.models import Group, User
from django.http import HttpResponseBase
from django.test import Client
from pytest_django.fixtures import Settings

from access.choices import Role, Target
from tests.cast import PASSWORD
from virshmanager.environment import OpenIdProvider

from .openid import Lie, RunningProvider, running

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::authlib.deprecate.AuthlibDeprecationWarning"),
]


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningProvider]:
    with running() as found:
        yield found


def use(settings: Settings, url: str, groups_claim: str = "") -> None:
    provider = OpenIdProvider(url, "manager", "client-secret", "Our house", groups_claim)
    settings.VIRSHMANAGER_OIDC = provider
    settings.SOCIALACCOUNT_PROVIDERS = provider.for_allauth()


@pytest.fixture
def provider(shared: RunningProvider, settings: Settings) -> RunningProvider:
    shared.lie, shared.broken, shared.instead = lambda answer: answer, set(), {}
    shared.knows("kim", preferred_username="kim", email="kim@example.org", name="Kim Roe")
    use(settings, shared.url)
    return shared


def begin(client: Client, **fields: str) -> str:
    """Press the button; return the address at the provider."""
    answer = client.post("/account/login/provider/", fields)
    assert answer.status_code == 302
    return answer["Location"]


def end(client: Client, address: str) -> HttpResponseBase:
    """Come back from the provider."""
    parts = urlsplit(address)
    assert parts.path == "/account/login/provider/back/"
    return client.get(f"{parts.path}?{parts.query}")


def sign_in(client: Client, provider: RunningProvider, name: str = "kim", **fields: str) -> HttpResponseBase:
    return end(client, provider.lets_in(begin(client, **fields), name))


def signed_in(client: Client) -> User | None:
    key = client.session.get("_auth_user_id")
    return User.objects.get(pk=key) if key else None


def refused(client: Client, answer: HttpResponseBase) -> bool:
    """Nobody is let in, no account is made, and the sign-in page says so."""
    assert (answer.status_code, answer.headers["Location"]) == (302, "/account/login/")
    assert "did not work" in client.get("/account/login/").content.decode()
    return not signed_in(client) and not User.objects.filter(username__startswith="kim").exists()


Claims = dict[str, Any]


def signed(change: Callable[[Claims], Claims], key: Any, algorithm: str = "RS256") -> Lie:
    """A provider that signs other claims, by some key."""

    def lie(answer: dict[str, Any]) -> dict[str, Any]:
        claims = change(jwt.decode(answer["id_token"], options={"verify_signature": False}))
        header = jwt.get_unverified_header(answer["id_token"])
        named = {"kid": header["kid"]} if "kid" in header else {}
        return answer | {"id_token": jwt.encode(claims, key, algorithm, headers=named)}

    return lie


STRANGERS_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def own_key(provider: RunningProvider) -> Any:
    """A key that the provider owns up to, so that only the claims are wrong."""
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(STRANGERS_KEY.public_key()))
    provider.instead["/jwks"] = {"keys": [public | {"alg": "RS256", "use": "sig"}]}
    return STRANGERS_KEY


WRONG_CLAIMS: dict[str, Callable[[Claims], Claims]] = {
    "another issuer": lambda claims: claims | {"iss": "https://elsewhere.example"},
    "no issuer": lambda claims: {name: value for name, value in claims.items() if name != "iss"},
    "for another program": lambda claims: claims | {"aud": "another"},
    "expired": lambda claims: claims | {"exp": claims["iat"] - 3600},
    "of tomorrow": lambda claims: claims | {"iat": claims["iat"] + 86400},
    "without an end": lambda claims: {name: value for name, value in claims.items() if name != "exp"},
    "without a nonce": lambda claims: {name: value for name, value in claims.items() if name != "nonce"},
    "of another request": lambda claims: claims | {"nonce": "0" * 64},
    "of somebody else than the answer to the next question": lambda claims: claims | {"sub": "eve"},
}


@pytest.mark.parametrize("what", WRONG_CLAIMS)
def test_a_token_with_a_wrong_claim(provider: RunningProvider, own_key: Any, what: str) -> None:
    client = Client()
    provider.lie = signed(WRONG_CLAIMS[what], own_key)
    assert refused(client, sign_in(client, provider))


def test_the_same_token_with_its_claims_is_good(provider: RunningProvider, own_key: Any) -> None:
    client = Client()
    provider.lie = signed(lambda claims: claims, own_key)
    sign_in(client, provider)
    assert signed_in(client) == User.objects.get(username="kim")


@pytest.mark.parametrize(
    "key", [STRANGERS_KEY, "", "client-secret"], ids=["another key", "none", "our secret"]
)
def test_a_token_that_is_not_signed_by_the_provider(provider: RunningProvider, key: Any) -> None:
    client = Client()
    provider.lie = signed(lambda claims: claims, key)
    assert refused(client, sign_in(client, provider))


@pytest.mark.parametrize("token", [None, 5, "", "x.y.z", "é"])
def test_what_is_no_token(provider: RunningProvider, token: object) -> None:
    client = Client()
    provider.lie = lambda answer: answer | {"id_token": token}
    assert refused(client, sign_in(client, provider))


def test_the_state_of_another_browser(provider: RunningProvider) -> None:
    victim, thief = Client(), Client()
    back = provider.lets_in(begin(thief), "kim")
    begin(victim)
    assert refused(victim, end(victim, back))


def test_a_state_is_good_once(provider: RunningProvider) -> None:
    client = Client()
    back = provider.lets_in(begin(client), "kim")
    end(client, back)
    client.post("/account/logout/")
    assert end(client, back).headers["Location"] == "/account/login/"
    assert not signed_in(client)


@pytest.mark.parametrize("change", [{"state": "x"}, {"state": None}, {"code": "x"}, {"code": None}])
def test_a_changed_way_back(provider: RunningProvider, change: dict[str, str | None]) -> None:
    client = Client()
    back = parse_qs(urlsplit(provider.lets_in(begin(client), "kim")).query)
    query = {name: values[0] for name, values in back.items()} | change
    answer = client.get("/account/login/provider/back/", {name: text for name, text in query.items() if text})
    assert refused(client, answer)


def test_a_code_of_another_request(provider: RunningProvider) -> None:
    """Whoever stole a code cannot use it in a request of his own: its nonce is another."""
    victim, thief = Client(), Client()
    stolen = parse_qs(urlsplit(provider.lets_in(begin(victim), "kim")).query)["code"][0]
    state = parse_qs(urlsplit(begin(thief)).query)["state"][0]
    answer = thief.get("/account/login/provider/back/", {"code": stolen, "state": state})
    assert refused(thief, answer)


@pytest.mark.parametrize("path", ["/oauth2/token", "/jwks", "/userinfo"])
def test_a_provider_that_fails_on_the_way(provider: RunningProvider, path: str) -> None:
    client = Client()
    back = provider.lets_in(begin(client), "kim")
    provider.broken = {path}
    assert refused(client, end(client, back))


def test_a_provider_that_is_down(provider: RunningProvider, settings: Settings) -> None:
    client = Client()
    provider.broken = {"/.well-known/openid-configuration"}
    assert refused(client, client.post("/account/login/provider/"))
    use(settings, "http://localhost:9")  # nobody listens there
    assert refused(client, client.post("/account/login/provider/"))


@pytest.mark.parametrize(
    "told",
    [
        {"issuer": "https://elsewhere.example"},
        {"issuer": None},
        {"token_endpoint": None},
        {"jwks_uri": 5},
        [],
    ],
)
def test_a_provider_that_tells_nonsense_of_itself(provider: RunningProvider, told: Any) -> None:
    address = "/.well-known/openid-configuration"
    honest = requests.get(provider.url + address, timeout=5).json()
    provider.instead[address] = honest | told if isinstance(told, dict) else told
    client = Client()
    assert refused(client, client.post("/account/login/provider/"))


def test_without_a_provider_there_is_no_way(stranger: Client) -> None:
    assert stranger.post("/account/login/provider/").status_code == 404
    assert stranger.get("/account/login/provider/back/?code=x&state=x").status_code == 404
    page = stranger.get("/account/login/")
    assert "/account/login/provider/" not in page.content.decode()
    assert "form-action 'self';" in page["Content-Security-Policy"]


def test_a_link_begins_nothing(provider: RunningProvider, stranger: Client) -> None:
    assert stranger.get("/account/login/provider/").status_code == 405


def test_it_works_and_gives_no_right(provider: RunningProvider) -> None:
    client = Client(raise_request_exception=False)
    page = client.get("/account/login/")
    assert "Our house" in page.content.decode()
    assert f"form-action 'self' {provider.url};" in page["Content-Security-Policy"]
    answer = sign_in(client, provider, next="/hosts/")
    assert answer.headers["Location"] == "/hosts/"
    kim = User.objects.get(username="kim")
    assert signed_in(client) == kim
    assert not any([kim.is_superuser, kim.is_staff, kim.has_usable_password()])
    assert client.get("/hosts/").status_code == 403
    assert (
        f"form-action 'self' {provider.url};"
        not in client.get("/account/factors/")["Content-Security-Policy"]
    )


def test_it_leads_nowhere_else(provider: RunningProvider) -> None:
    assert sign_in(Client(), provider, next="https://elsewhere.example/").headers["Location"] == "/"


def test_who_comes_again_is_the_same(provider: RunningProvider) -> None:
    for _ in range(2):
        client = Client()
        sign_in(client, provider)
        assert signed_in(client) == User.objects.get(username="kim")


def test_an_equal_name_or_address_is_another_account(provider: RunningProvider, ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(email="ada@example.org")
    provider.knows("mallory", preferred_username="ADA", email="ada@example.org", email_verified=True)
    client = Client()
    sign_in(client, provider, "mallory")
    user = signed_in(client)
    assert user
    assert user != ada
    assert not user.is_superuser
    ada.refresh_from_db()
    assert ada.check_password(PASSWORD)


def test_another_provider_s_user_of_the_same_number_is_somebody_else(
    provider: RunningProvider, settings: Settings
) -> None:
    sign_in(Client(), provider)
    with running() as other:
        other.knows("kim", preferred_username="kim")
        use(settings, other.url)
        client = Client()
        sign_in(client, other)
    user = signed_in(client)
    assert user
    assert user != User.objects.get(username="kim")


def test_who_was_deactivated_is_not_let_in(provider: RunningProvider) -> None:
    sign_in(Client(), provider)
    User.objects.filter(username="kim").update(is_active=False)
    client = Client()
    assert sign_in(client, provider).status_code == 403
    assert not signed_in(client)


def test_groups_follow_the_claim(provider: RunningProvider, settings: Settings) -> None:
    for name in ("operators", "night shift"):
        Group.objects.create(name=name)
    use(settings, provider.url, groups_claim="roles")
    for claim, groups in (
        (["operators", "elsewhere", 5], {"operators"}),
        (["night shift"], {"night shift"}),
        ("operators", set()),
        (None, set()),
    ):
        provider.knows("kim", preferred_username="kim", roles=claim)
        sign_in(Client(), provider)
        kim = User.objects.get(username="kim")
        assert set(kim.groups.values_list("name", flat=True)) == groups
    assert set(Group.objects.values_list("name", flat=True)) == {"operators", "night shift"}


@pytest.mark.parametrize(("age", "status"), [(None, 302), (3600, 302), (5, 422)])
def test_a_proof_is_as_old_as_the_provider_says(
    provider: RunningProvider, own_key: Any, age: int | None, status: int
) -> None:
    """A button that the provider answers in silence proves nothing of who sits there."""

    def dated(claims: Claims) -> Claims:
        return claims | {"auth_time": None if age is None else claims["iat"] - age}

    client = Client(raise_request_exception=False)
    provider.lie = signed(dated, own_key)
    sign_in(client, provider)
    User.objects.get(username="kim").grants.create(role=Role.VIEWER, target=Target.EVERYTHING)
    assert client.post("/account/tokens/create/", {}).status_code == status
    asked = parse_qs(urlsplit(begin(client)).query)
    assert (asked["prompt"], asked["max_age"]) == (["login"], ["0"])


def test_who_has_no_password_proves_himself_at_the_provider(provider: RunningProvider, own_key: Any) -> None:
    client = Client(raise_request_exception=False)
    provider.lie = signed(lambda claims: claims | {"auth_time": 1}, own_key)
    sign_in(client, provider)
    User.objects.get(username="kim").grants.create(role=Role.VIEWER, target=Target.EVERYTHING)
    way = client.post("/account/tokens/create/", {})["Location"]
    assert way == "/account/reauthenticate/provider/?next=%2Faccount%2Ftokens%2F"
    page = client.get(way)
    assert "Our house" in page.content.decode()
    assert f"form-action 'self' {provider.url};" in page["Content-Security-Policy"]
    assert 'name="next" value="/account/tokens/"' in page.content.decode()
    provider.lie = signed(lambda claims: claims | {"auth_time": claims["iat"]}, own_key)
    assert sign_in(client, provider, next="/account/tokens/").headers["Location"] == "/account/tokens/"
    assert client.post("/account/tokens/create/", {}).status_code == 422
