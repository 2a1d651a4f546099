"""Every setting, each from the environment; ``NAME_FILE`` may name a file that holds a secret."""

from __future__ import annotations

import os
import re
import secrets
from datetime import timedelta
from pathlib import Path

import environ
from cryptography.fernet import Fernet
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from codestream.core.keys import read_or_make
from codestream.core.logs import logging_settings

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.FileAwareEnv()
if (BASE_DIR / ".env").exists():
    env.read_env(BASE_DIR / ".env")

DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / "data"))).resolve()
DATA_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="") or read_or_make(
    DATA_DIR / "secret.key", lambda: secrets.token_urlsafe(50)
)
ENCRYPTION_KEYS = env.list("ENCRYPTION_KEYS", default=[]) or [
    read_or_make(DATA_DIR / "encryption.key", lambda: Fernet.generate_key().decode())
]
LOOKUP_KEY = env.str("LOOKUP_KEY", default="") or read_or_make(
    DATA_DIR / "lookup.key", lambda: secrets.token_urlsafe(50)
)

METRICS_TOKEN = env.str("METRICS_TOKEN", default="") or read_or_make(
    DATA_DIR / "metrics.token", lambda: secrets.token_urlsafe(32)
)
METRICS_DIR = Path(env.str("METRICS_DIR", default=str(DATA_DIR / "metrics"))).resolve()
METRICS_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
# prometheus_client reads it when it is imported, which no module may do before this one.
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(METRICS_DIR)

PUBLIC_URL = env.str("PUBLIC_URL", default="http://127.0.0.1:8000").rstrip("/")
DOCKER_HUB_URL = env.str("DOCKER_HUB_URL", default="https://hub.docker.com").rstrip("/")
# Other addresses that speak Docker Hub's own API, such as that of the demo.
DOCKER_HUB_STAND_INS = env.list("DOCKER_HUB_STAND_INS", default=[])
RECOVERY_EVERY = timedelta(minutes=env.int("RECOVERY_MINUTES", default=15))
OUTGOING_ALLOW = env.list("OUTGOING_ALLOW", default=[])
# Whether Kubernetes endpoints may sign in as the pod that this runs in, at its own cluster.
POD_SERVICE_ACCOUNT = env.bool("POD_SERVICE_ACCOUNT", default=False)
POD_ACCOUNT_FOLDER = env.str(
    "POD_ACCOUNT_FOLDER", default="/var/run/secrets/kubernetes.io/serviceaccount"
)
_pod_host = env.str("KUBERNETES_SERVICE_HOST", default="")
_pod_host = f"[{_pod_host}]" if ":" in _pod_host else _pod_host
_pod_port = env.str("KUBERNETES_SERVICE_PORT", default="443")
POD_API_SERVER = f"https://{_pod_host}:{_pod_port}" if _pod_host else ""
WORKER_THREADS = env.int("WORKER_THREADS", default=8)
# Where a worker serves /metrics and the probes, for machines without a web process; 0 is nowhere.
WORKER_METRICS_PORT = env.int("WORKER_METRICS_PORT", default=0)
WORKER_METRICS_HOST = env.str("WORKER_METRICS_HOST", default="127.0.0.1")

# 0 never looks by itself.
MIRROR_CHECK_HOURS = env.float("MIRROR_CHECK_HOURS", default=6.0)

# 0 keeps for ever.
RETENTION_EVENTS_DAYS = env.int("RETENTION_EVENTS_DAYS", default=90)
RETENTION_EXECUTIONS_DAYS = env.int("RETENTION_EXECUTIONS_DAYS", default=180)
RETENTION_EXECUTIONS_PER_PIPELINE = env.int("RETENTION_EXECUTIONS_PER_PIPELINE", default=1000)
RETENTION_LOGS_DAYS = env.int("RETENTION_LOGS_DAYS", default=30)
RETENTION_LOGS_MB = env.int("RETENTION_LOGS_MB", default=50)
RETENTION_LOGS_FILES = env.int("RETENTION_LOGS_FILES", default=5)

ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["*"])
TRUSTED_PROXIES = env.list("TRUSTED_PROXIES", default=[])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
SECURE_COOKIES = env.bool("SECURE_COOKIES", default=PUBLIC_URL.startswith("https://"))
SESSION_COOKIE_SECURE = SECURE_COOKIES
CSRF_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.forms",
    "django_htmx",
    "template_partials",
    "django_tasks",
    "rest_framework",
    "codestream.core",
    "codestream.accounts",
    "codestream.projects",
    "endpoints",
    "pipelines",
    "executions",
    "webhooks",
    "codestream.operations",
    "codestream.demo",
]
MIDDLEWARE = [
    "codestream.operations.middleware.identify",
    "codestream.operations.middleware.probes_first",
    "codestream.operations.middleware.measure",
    "django.middleware.security.SecurityMiddleware",
    "webhooks.middleware.deliveries_first",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "codestream.accounts.middleware.own_language",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "codestream.accounts.middleware.whole_page_sign_in",
    "codestream.core.admin.AdminInputMiddleware",
]
ROOT_URLCONF = "codestream.urls"
WSGI_APPLICATION = "codestream.wsgi.application"
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
                "codestream.core.context.theme",
            ],
            "builtins": ["codestream.core.templatetags.look"],
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

DATABASE_KINDS = ("sqlite3", "postgresql")
_UNREADABLE = ImproperlyConfigured(
    "DATABASE_URL cannot be read: in user, password and options, write %2F for /, %3F for ?, %23 "
    "for # and %40 for @."
)
try:
    _database = env.db_url("DATABASE_URL", default=f"sqlite:///{DATA_DIR}/codestream.sqlite3")
except ValueError:
    # What it says may be a part of the password.
    raise _UNREADABLE from None
DATABASES = {"default": _database}
if _database.get("ENGINE") not in {f"django.db.backends.{name}" for name in DATABASE_KINDS}:
    raise ImproperlyConfigured(
        "DATABASE_URL is no address of a database: write sqlite:////folder/file or "
        "postgres://user:password@host/name."
    )
_given = _database.get("OPTIONS", {})
if _database["ENGINE"] == "django.db.backends.sqlite3":
    # FULL: a push that was answered survives a power cut. A connection lasts, since it is a file.
    _pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
    _database["ENGINE"] = "codestream.core.sqlite"
    _database["CONN_MAX_AGE"] = None
    _database["OPTIONS"] = {
        "timeout": 5,
        "transaction_mode": "IMMEDIATE",
        **_given,
        "init_command": f"{_pragmas} {_given.get('init_command', '')}",
    }
    HINTS = "codestream.core.backends.embedded.EmbeddedBackend"
else:
    if "@" in re.sub("^[^/?#]*", "", env.str("DATABASE_URL").partition("://")[2]):
        raise _UNREADABLE
    # A worker's threads, as many that fetch hints, and those that look after it.
    DATABASE_CONNECTIONS = env.int("DATABASE_CONNECTIONS", default=max(20, 2 * WORKER_THREADS + 4))
    # Finds out which connections died with a restarted server before a request gets one.
    _database["ENGINE"] = "codestream.core.postgres"
    # While the server is away the pool asks less and less often, and nobody gets a connection in
    # between: give up soon, so that who needs one next asks at once.
    _pool = {"min_size": 1, "max_size": DATABASE_CONNECTIONS, "timeout": 5, "reconnect_timeout": 1}
    _database["OPTIONS"] = {
        "connect_timeout": 5,
        "tcp_user_timeout": 10_000,
        # The same for a connection that only waits for an answer.
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        # A machine that vanished or froze in the middle of a transaction gives its locks back, and
        # nobody waits for the lock of another for longer.
        # What is asked here is answered before it could be compiled.
        "options": "-c idle_in_transaction_session_timeout=10000 -c lock_timeout=15000 -c jit=off",
        "pool": _pool,
        # A statement that comes again and again is planned once a connection.
        "server_side_binding": True,
        "prepare_threshold": 3,
        **_given,
    }
    HINTS = "codestream.core.backends.procrastinate.ProcrastinateBackend"
    INSTALLED_APPS = [*INSTALLED_APPS, "procrastinate.contrib.django"]
    PROCRASTINATE_AUTODISCOVER_MODULE_NAME = ""
TASKS = {"default": {"BACKEND": env.str("HINTS", default=HINTS)}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["codestream.accounts.backends.NameOrEmailBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "accounts:sign-in"
LOGIN_REDIRECT_URL = "executions:list"
LOGOUT_REDIRECT_URL = "accounts:sign-in"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("it", _("Italian"))]
LOCALE_PATHS = [BASE_DIR / "codestream" / "locale"]
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
STATIC_ROOT.mkdir(exist_ok=True)
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

# The receiver reads at most 1 MiB by itself; the forms of the pages need less.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024 + 1

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["codestream.accounts.authentication.ApiTokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "codestream.api.errors.answer_error",
    "UNAUTHENTICATED_USER": None,
}

LOGGING = logging_settings(
    style=env.str("LOG_FORMAT", default="plain"), level=env.str("LOG_LEVEL", default="INFO")
)
