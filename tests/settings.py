"""Settings of the tests: those of the server, with cheap passwords and no manifest of static files."""

from virshmanager.settings import *  # noqa: F403 -- the tests run on the server's own settings

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
