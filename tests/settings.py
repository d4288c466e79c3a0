"""Settings of the tests: those of the server, in a folder of their own that goes when they end."""

import atexit
import os
import shutil
import tempfile

if "VIRSHMANAGER_HOME" not in os.environ:
    os.environ["VIRSHMANAGER_HOME"] = tempfile.mkdtemp(prefix="virshmanager-tests-")
    atexit.register(shutil.rmtree, os.environ["VIRSHMANAGER_HOME"], ignore_errors=True)

from virshmanager.settings import *  # noqa: F403 -- the tests run on the server's own settings
from virshmanager.settings import DATABASES, VIRSHMANAGER_HOME

# A file, as in service: tests with threads would share one connection in memory.
if str(DATABASES["default"]["ENGINE"]).endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {"NAME": VIRSHMANAGER_HOME / "tests.sqlite3"}
# PostgreSQL would not delete the database at the end, while a thread has its connection still.
DATABASES["default"]["CONN_MAX_AGE"] = 0

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
