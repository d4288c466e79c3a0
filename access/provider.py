"""Signing in by an OpenID Connect provider, with what allauth leaves to trust made sure of.

allauth believes an ID token because it came by TLS, and has no nonce. Here a token is one of this provider
(by its signature), for this server, of now, and answers the very request that this browser made: its nonce is
made of that request's state, which the session keeps and spends (OpenID Connect Core 1.0, 3.1.3.7).
"""

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any, Final

import jwt
from allauth.account.utils import get_next_redirect_url
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.base.constants import AuthProcess
from allauth.socialaccount.providers.oauth2.client import OAuth2Client, OAuth2Error
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.http import HttpRequest
from django.urls import reverse
from django.utils.crypto import salted_hmac

PROVIDER_ID: Final = "oidc"
# By a key that is the provider's alone: one made of our secret would let whoever knows it sign, too.
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
CLOCKS_DIFFER_SECONDS: Final = 60
REQUIRED_CLAIMS: Final = ["iss", "sub", "aud", "exp", "iat"]
ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class Distrusted(OAuth2Error):  # type: ignore[misc]  # allauth has no types
    """What the provider said is not what it should; the text is for the log, and holds nothing it sent."""


def nonce_of(state: str) -> str:
    return salted_hmac("access.provider.nonce", state, algorithm="sha256").hexdigest()


class Client(OAuth2Client):  # type: ignore[misc]  # as above
    def get_redirect_url(self, authorization_url: str, scope: list[str], extra_params: dict[str, str]) -> str:
        extra_params = extra_params | {"nonce": nonce_of(self.state)}
        address: str = super().get_redirect_url(authorization_url, scope, extra_params)
        return address


class Adapter(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]  # as above
    """One exchange with the provider. Raises OAuth2Error, and requests' errors, which are OSErrors."""

    client_class = Client

    @property
    def openid_config(self) -> dict[str, Any]:
        """What the provider tells of itself, at each sign-in anew."""
        try:
            config = super().openid_config
        except (OSError, ValueError, AttributeError) as error:
            raise Distrusted("it does not tell its configuration") from error
        if not isinstance(config, dict) or not all(isinstance(config.get(name), str) for name in ENDPOINTS):
            raise Distrusted("its configuration lacks an endpoint")
        issuer = str(config.get("issuer", ""))
        if issuer.rstrip("/") != self.get_provider().server_url.partition("/.well-known/")[0].rstrip("/"):
            raise Distrusted("it calls itself by another address")
        return config

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:  # noqa: ARG002 -- allauth's signature
        return request.build_absolute_uri(reverse("oidc-callback"))

    def complete_login(
        self, request: HttpRequest, app: SocialApp, token: SocialToken, **kwargs: Any
    ) -> SocialLogin:
        claims = self._verified(app, kwargs["response"].get("id_token"))
        told = self._fetch_user_info(token.token) if "userinfo_endpoint" in self.openid_config else {}
        if not isinstance(told, dict) or told.get("sub", claims["sub"]) != claims["sub"]:
            raise Distrusted("it tells of somebody else than it vouches for")
        return self.get_provider().sociallogin_from_response(
            request, {"userinfo": claims | told, "id_token": claims}
        )

    def _verified(self, app: SocialApp, id_token: object) -> dict[str, Any]:
        if not isinstance(id_token, str):
            raise Distrusted("it sent no ID token")
        try:
            key = self._key(jwt.get_unverified_header(id_token))
            claims: dict[str, Any] = jwt.decode(
                id_token,
                key,
                algorithms=ALGORITHMS,
                audience=app.client_id,
                issuer=self.openid_config["issuer"],
                leeway=CLOCKS_DIFFER_SECONDS,
                options={"require": REQUIRED_CLAIMS},
            )
        except (jwt.PyJWTError, TypeError, ValueError, LookupError) as error:
            raise Distrusted(f"its ID token is not good ({type(error).__name__})") from error
        asked = nonce_of(self.request.GET.get("state", ""))
        if not secrets.compare_digest(str(claims.get("nonce", "")).encode(), asked.encode()):
            raise Distrusted("its ID token answers another request (nonce)")
        return claims

    def _key(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        """The key by which a token says that it is signed; it may name none if the provider has but one."""
        with get_adapter().get_requests_session() as session:
            answer = session.get(self.openid_config["jwks_uri"])
            answer.raise_for_status()
            keys = jwt.PyJWKSet.from_dict(answer.json())
        if "kid" in header:
            return keys[header["kid"]]
        (key,) = keys.keys
        return key


class Provider(OpenIDConnectProvider):  # type: ignore[misc]  # as above
    """What allauth finds for `openid_connect`. Nothing that a browser names changes what is asked for."""

    oauth2_adapter_class = Adapter
    pkce_enabled_default = True

    def extract_uid(self, data: Mapping[str, Any]) -> str:
        """Only issuer and subject together name somebody (OpenID Connect Core 1.0, 5.7)."""
        issuer, subject = data["id_token"]["iss"], data["id_token"]["sub"]
        return hashlib.sha256(f"{issuer}\n{subject}".encode()).hexdigest()

    def get_redirect_from_request_kwargs(self, request: HttpRequest) -> dict[str, Any]:
        # Whoever is signed in wants to prove that it is he: the provider is to ask him, and to say when.
        again = {"prompt": "login", "max_age": "0"} if request.user.is_authenticated else {}
        asked = {"process": AuthProcess.LOGIN, "scope": self.get_scope(), "auth_params": again}
        next_url = get_next_redirect_url(request)
        return asked | ({"next_url": next_url} if next_url else {})

    def get_login_url(self, request: HttpRequest, **kwargs: Any) -> str:  # noqa: ARG002 -- allauth's signature
        return reverse("oidc-login")


provider_classes = [Provider]
