"""Settings. Each comes from one environment variable and has a default; docs/settings.md describes them.

All state lies in VIRSHMANAGER_HOME. A mistake raises ImproperlyConfigured with one clear line.
"""

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

from virshmanager.environment import (
    database,
    env,
    ldap_directory,
    listen_address,
    log_level,
    openid_provider,
    proxies,
    proxy_url,
    redis_url,
    signer_of_theirs,
    whole_number,
)
from virshmanager.state import private_folder, private_text

BASE_DIR = Path(__file__).resolve().parent.parent


def state_folder() -> Path:
    text = env.str("VIRSHMANAGER_HOME", default=str(BASE_DIR / "var"))
    if not text:
        raise ImproperlyConfigured("VIRSHMANAGER_HOME must be the path of a folder, not empty.")
    return private_folder(Path(text).absolute())


VIRSHMANAGER_HOME = state_folder()
VIRSHMANAGER_SIGNER = signer_of_theirs()
VIRSHMANAGER_LISTEN = listen_address()
VIRSHMANAGER_PORT = whole_number("VIRSHMANAGER_PORT", 8000, 1, 65535)
VIRSHMANAGER_URL = proxy_url()
VIRSHMANAGER_ADMIN_PASSWORD = env.str("VIRSHMANAGER_ADMIN_PASSWORD", default="")
TLS_IN_FRONT = bool(VIRSHMANAGER_URL)
VIRSHMANAGER_PROXY = proxies()
if not TLS_IN_FRONT and not ipaddress.ip_address(VIRSHMANAGER_LISTEN).is_loopback:
    raise ImproperlyConfigured(
        f"VIRSHMANAGER_LISTEN={VIRSHMANAGER_LISTEN} is reachable by others, "
        "but nothing encrypts the connection: "
        "put a TLS proxy before the server and set VIRSHMANAGER_URL=https://its.name, "
        "or listen on 127.0.0.1."
    )

# Where people reach the server. Beyond loopback that is the proxy, as was just made sure of.
_host = f"[{VIRSHMANAGER_LISTEN}]" if ":" in VIRSHMANAGER_LISTEN else VIRSHMANAGER_LISTEN
PUBLIC_URL = VIRSHMANAGER_URL or f"http://{_host}:{VIRSHMANAGER_PORT}"

SECRET_KEY = private_text(VIRSHMANAGER_HOME / "secret_key", get_random_secret_key)
DEBUG = False
PUBLIC_HOST = urlsplit(VIRSHMANAGER_URL).hostname or ""
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", *filter(None, [PUBLIC_HOST])]
if ipaddress.ip_address(VIRSHMANAGER_LISTEN).is_loopback and VIRSHMANAGER_LISTEN not in ALLOWED_HOSTS:
    ALLOWED_HOSTS.append(VIRSHMANAGER_LISTEN)
CSRF_TRUSTED_ORIGINS = [VIRSHMANAGER_URL] if VIRSHMANAGER_URL else []

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.usersessions",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "knox",
    "channels",
    "django_htmx",
    "django_celery_beat",
    "virshmanager",
    "access",
    "hosts",
    "discovery",
    "domains",
]

MIDDLEWARE = [
    "virshmanager.middleware.SecurityHeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "access.middleware.AuditMiddleware",
    "access.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "virshmanager.idempotency.IdempotencyMiddleware",
    "virshmanager.admin_input.AdminInputMiddleware",
]

ROOT_URLCONF = "virshmanager.urls"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]


DATABASES = {"default": database(VIRSHMANAGER_HOME)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = redis_url(VIRSHMANAGER_HOME)
REDIS_TIMEOUTS = {"socket_timeout": 5, "socket_connect_timeout": 2}
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "virshmanager",
        "OPTIONS": {"CONNECTION_POOL_KWARGS": REDIS_TIMEOUTS},
    }
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "virshmanager"},
    }
}

# Kombu names a Unix socket in its own way.
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "global_keyprefix": "virshmanager-",
    # One that was stopped still takes connections, and never answers.
    **REDIS_TIMEOUTS,
    # Who wakes a worker must not wait for a Redis that is gone: what is to be done is in the database.
    "max_retries": 1,
    "interval_start": 0.1,
    "interval_max": 0.1,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_POOL = "threads"
# Its log is written as the web's is.
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# Each call to a host has a thread: most of them wait.
CELERY_WORKER_CONCURRENCY = 24
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BEAT_SCHEDULER = "virshmanager.beat:Scheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5

USERSESSIONS_ADAPTER = "access.adapter.SessionsAdapter"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
VIRSHMANAGER_LDAP = ldap_directory()
if VIRSHMANAGER_LDAP:
    AUTHENTICATION_BACKENDS.append("access.directory.DirectoryBackend")
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
ACCOUNT_ADAPTER = "access.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
# What cannot be taken back asks for a proof that is not older than this (access/proof.py).
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600
# Guesses are counted by access.guessing: allauth counts them by name, too.
ACCOUNT_RATE_LIMITS = {"login_failed": None}
VIRSHMANAGER_OIDC = openid_provider()
SOCIALACCOUNT_PROVIDERS = VIRSHMANAGER_OIDC.for_allauth() if VIRSHMANAGER_OIDC else {}
SOCIALACCOUNT_ADAPTER = "access.adapter.ProviderAdapter"
MFA_ADAPTER = "access.adapter.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_FORMS = {
    "add_webauthn": "access.factors.AddPasskeyForm",
    "authenticate": "access.factors.SecondCodeForm",
    "authenticate_webauthn": "access.factors.SecondPasskeyForm",
    "login_webauthn": "access.factors.PasskeyLoginForm",
    "reauthenticate": "access.factors.ConfirmByCodeForm",
    "reauthenticate_webauthn": "access.factors.ConfirmByPasskeyForm",
}
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_TOTP_ISSUER = "VirshManager"
# The links of `manage.py recover`.
PASSWORD_RESET_TIMEOUT = 600
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "account_login"
CSRF_FAILURE_VIEW = "virshmanager.errors.csrf_failure"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "access.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["access.permissions.IsAdministrator"],
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "rest_framework.renderers.BrowsableAPIRenderer",
    ],
    "DEFAULT_PARSER_CLASSES": ["virshmanager.parsing.CappedJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "virshmanager.paging.Pages",
    "DEFAULT_FILTER_BACKENDS": [
        "django_filters.rest_framework.DjangoFilterBackend",
        "virshmanager.ordering.StrictOrdering",
    ],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "virshmanager.errors.problem_response",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "VirshManager",
    "DESCRIPTION": "Every libvirt hypervisor on your networks, and its virtual machines.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_PERMISSIONS": ["access.permissions.HasGrants"],
    "POSTPROCESSING_HOOKS": ["virshmanager.schema.describe"],
    "ENUM_NAME_OVERRIDES": {
        "CrawlState": "discovery.choices.CrawlState",
        "DomainState": "domains.choices.DomainState",
        "OperationState": "hosts.choices.OperationState",
        "HopName": "hosts.choices.Hop",
        "JoinKeyState": "hosts.serializers.JOIN_KEY_STATES",
        "TokenScope": "access.choices.Scope",
    },
}
KNOX_TOKEN_MODEL = "access.ApiToken"  # noqa: S105 -- the name of a model
# Knox would make a table of its own, which nothing uses.
MIGRATION_MODULES = {"knox": None}
REST_KNOX = {"TOKEN_TTL": None, "AUTH_HEADER_PREFIX": "Token"}  # nosec B105 -- a word of HTTP

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "build" / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static", BASE_DIR / "build" / "assets"]
# Our files are for our pages: WhiteNoise would offer them to all.
WHITENOISE_ALLOW_ALL_ORIGINS = False
STORAGES = {
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = TLS_IN_FRONT
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
# Pages take the CSRF token from their own forms: no script has to read a cookie.
CSRF_COOKIE_HTTPONLY = True
# Two servers on one machine must not log each other's users out. Where it can be had, a sub-domain cannot set
# these cookies for us (RFC 6265bis, 4.1.3.2).
_cookies = f"{'__Host-' if TLS_IN_FRONT else ''}virshmanager_{VIRSHMANAGER_PORT}"
SESSION_COOKIE_NAME = f"{_cookies}_session"
CSRF_COOKIE_NAME = f"{_cookies}_csrf"
# By default they travel in a third cookie, whose name can be neither bound nor told apart.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
if TLS_IN_FRONT:
    # That a request came by TLS is heard from uvicorn, which asks who says so (virshmanager/serve.py).
    # SECURE_PROXY_SSL_HEADER would believe anybody.
    SECURE_HSTS_SECONDS = 31536000
    SECURE_SSL_REDIRECT = True
    SECURE_SSL_HOST = urlsplit(VIRSHMANAGER_URL).netloc
    # Who watches the server asks it on its own machine.
    SECURE_REDIRECT_EXEMPT = ["^healthz$", "^readyz$", "^metrics$"]
# Which other names HTTPS is promised for, and whether browsers should know it for ever, is for the owner of
# the name to say: W005 (includeSubDomains) and W021 (preload) ask for both.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {
            "class": "virshmanager.logs.LineFormatter",
            "format": "{asctime} {levelname} {name}: {message}",
            "style": "{",
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": log_level()},
}
