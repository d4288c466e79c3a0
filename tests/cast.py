"""The known cast: administrator Ada, and Sam, who has an account and no rights."""

import time

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from access.services import create_token

PASSWORD = "correct horse battery staple"


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_superuser("ada", password=PASSWORD)


@pytest.fixture
def sam(db: None) -> User:
    return User.objects.create_user("sam", password=PASSWORD)


@pytest.fixture
def api(ada: User) -> APIClient:
    """A program of Ada's, with a token. Errors become answers, as in service."""
    _, token = create_token(user=ada, name="tests", scope="administer")
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client


def proven(client: Client, user: User) -> None:
    """Have a browser that is logged in say that its user gave the password just now, as a login does."""
    session = client.session
    session["account_authentication_methods"] = [{"method": "password", "at": time.time()}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()


@pytest.fixture
def browser(ada: User) -> Client:
    """Ada's browser, logged in a moment ago."""
    client = Client(raise_request_exception=False)
    client.force_login(ada, backend="allauth.account.auth_backends.AuthenticationBackend")
    proven(client, ada)
    return client


@pytest.fixture
def stranger() -> Client:
    return Client(raise_request_exception=False)
