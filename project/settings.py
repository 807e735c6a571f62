"""Settings of the site; every one that an operator may change is read from the environment.

A value may also come from a file: `NAME_FILE` names it, as container secrets do.
"""

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from django.utils.csp import CSP

from poolwise.support import logs, redis_urls, whole_cores
from project import environment as env

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"


def _read_secret_files() -> None:
    for name in ("SECRET_KEY", "SECRET_KEY_FALLBACKS", "DATABASE_URL", "REDIS_URL", "BROKER_URL"):
        if path := os.environ.get(f"{name}_FILE"):
            try:
                os.environ.setdefault(name, Path(path).read_text().strip())
            except OSError as error:
                raise ImproperlyConfigured(f"{name}_FILE cannot be read: {error}") from error


def _join_running_platform() -> None:
    """Use the addresses of the platform that `make up` runs here, for commands in another terminal."""
    running = VAR_DIR / "running.json"
    if running.exists():
        for name, value in json.loads(running.read_text()).items():
            os.environ.setdefault(name, value)


_read_secret_files()
_join_running_platform()


# --- the site -------------------------------------------------------------------------------------------
DEBUG: bool = env.flag("DEBUG", True)
SECRET_KEY: str = env.text("SECRET_KEY", "") or ("insecure-development-key" if DEBUG else "")
if not DEBUG and (not SECRET_KEY or SECRET_KEY.startswith("insecure")):
    raise ImproperlyConfigured("Set SECRET_KEY (or SECRET_KEY_FILE) to a long random text when DEBUG is off.")
#: Earlier keys, newest first: sessions and messages signed by them stay valid.
SECRET_KEY_FALLBACKS: list[str] = list(filter(None, env.names("SECRET_KEY_FALLBACKS", [])))
ALLOWED_HOSTS: list[str] = env.names("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"] if DEBUG else [])
CSRF_TRUSTED_ORIGINS: list[str] = env.names("CSRF_TRUSTED_ORIGINS", [])
#: The path below which a proxy serves the site, such as /poolwise; the proxy removes it from the requests.
FORCE_SCRIPT_NAME: str | None = env.text("FORCE_SCRIPT_NAME", "").rstrip("/") or None
if FORCE_SCRIPT_NAME and not FORCE_SCRIPT_NAME.startswith("/"):
    raise ImproperlyConfigured(f"FORCE_SCRIPT_NAME is {FORCE_SCRIPT_NAME}: a path begins with a slash.")

INSTALLED_APPS = [
    "django.contrib.admin.apps.SimpleAdminConfig",  # its pages are loaded with the URLs: workers need none
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "django_celery_results",
    "axes",
    "poolwise",
    "jobs",
]
MIDDLEWARE = [
    "poolwise.api.error_pages.JsonFaults",  # first: errors of all others are for the API's callers, too
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "poolwise.support.logs.RequestIdMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "poolwise:catalogue"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
# Empty counts as unset: it would publish the folder that the server was started in.
STATIC_ROOT = Path(env.text("STATIC_ROOT", "") or BASE_DIR / "staticfiles")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# --- browser security -----------------------------------------------------------------------------------
SECURE_CSP = {
    "default-src": [CSP.NONE],
    "script-src": [CSP.SELF],
    "style-src": [CSP.SELF],
    "img-src": [CSP.SELF, "data:"],
    "font-src": [CSP.SELF],
    "connect-src": [CSP.SELF],
    "form-action": [CSP.SELF],
    "base-uri": [CSP.NONE],
    "frame-ancestors": [CSP.NONE],
}
HTTPS: bool = env.flag("HTTPS", False)
SECURE_SSL_REDIRECT = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
if FORCE_SCRIPT_NAME:  # the host serves other sites, too: a cookie of theirs must not take the place of ours
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "poolwise_sessionid", "poolwise_csrftoken"
    SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = f"{FORCE_SCRIPT_NAME}/"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
# Poolwise cannot know whether other names of the domain use HTTPS too (subdomains, preload).
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
#: Proxies in front whose X-Forwarded-For is trusted for the address of a login.
PROXY_COUNT: int = env.whole("PROXY_COUNT", 0) if os.environ.get("PROXY_COUNT") else int(HTTPS)
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1_000
DATA_UPLOAD_MAX_NUMBER_FILES = 0

# --- throttled logins -----------------------------------------------------------------------------------
LOGIN_FAILURE_LIMIT: int = env.whole("LOGIN_FAILURE_LIMIT", 5)
LOGIN_COOL_OFF_MIN: float = env.number("LOGIN_COOL_OFF_MIN", 10.0)
AXES_FAILURE_LIMIT = LOGIN_FAILURE_LIMIT
# `manage.py check` reports a value out of range; where it is not run, the throttle must not be off.
AXES_COOLOFF_TIME = timedelta(minutes=min(max(LOGIN_COOL_OFF_MIN, 0.1), 525_600))
# Both together: an address cannot lock others out of an account, and guessing from one address is stopped.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "poolwise.web.client_ip.client_address"
AXES_LOCKOUT_TEMPLATE = "429.html"
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

# --- the database ---------------------------------------------------------------------------------------
DATABASE_URL: str = env.text("DATABASE_URL", f"sqlite:///{VAR_DIR / 'poolwise.sqlite3'}")
try:
    # Health checks: a connection from before a restart of the database would fail the first request on it.
    _DATABASE: Any = dj_database_url.parse(DATABASE_URL, conn_max_age=60, conn_health_checks=True)
except ValueError:
    raise ImproperlyConfigured(
        f"DATABASE_URL ({redis_urls.scheme_of(DATABASE_URL)}://…) is not a database URL: write sqlite:///path or "
        "postgres://user:password@host:5432/name, with characters such as / and # of the password quoted (%2F, %23)."
    ) from None
DATABASES: dict[str, Any] = {"default": _DATABASE}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    VAR_DIR.mkdir(exist_ok=True)
    # IMMEDIATE: a read-then-write transaction under WAL otherwise fails with "database is locked" at once.
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
    # A file, so that the tests' worker and coordinator processes see the same rows.
    DATABASES["default"]["TEST"] = {"NAME": f"{DATABASES['default']['NAME']}.test"}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Redis and Celery -----------------------------------------------------------------------------------
REDIS_URL: str = redis_urls.for_redis(env.text("REDIS_URL", "redis://127.0.0.1:6379/0"))
BROKER_URL: str = redis_urls.for_broker(env.text("BROKER_URL", REDIS_URL))

JOB_CELERY_APP = "project"
CELERY_BROKER_URL = BROKER_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_RESULT_BACKEND = "django-db"
CELERY_TASK_SERIALIZER = CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "celery"
WORKER_PREFETCH_MULTIPLIER: int = env.whole("WORKER_PREFETCH_MULTIPLIER", 1)
CELERY_WORKER_PREFETCH_MULTIPLIER = WORKER_PREFETCH_MULTIPLIER
CELERY_WORKER_CONSUMER = "poolwise.worker.message_filter:JobConsumer"
CELERY_WORKER_SEND_TASK_EVENTS = env.flag("TASK_EVENTS", False)
CELERY_TASK_SEND_SENT_EVENT = False
#: Seconds that running jobs get at SIGTERM; then they return to their queue, and the worker ends soon after.
SHUTDOWN_GRACE_S: float = env.number("SHUTDOWN_GRACE_S", 20.0)
#: The same for a worker that drains itself because a job in it could not be stopped.
DRAIN_GRACE_S: float = env.number("DRAIN_GRACE_S", 60.0)
CELERY_ENABLE_UTC = True
CELERY_TIMEZONE = TIME_ZONE

# --- Poolwise -------------------------------------------------------------------------------------------
#: The pools by name. JOB_POOLS in the environment replaces them all, as JSON of the same shape.
JOB_POOLS: Any = {
    "prefork": {
        "model": "prefork",
        "queue": "prefork",
        "concurrency": env.whole("PREFORK_CONCURRENCY", whole_cores()),
    },
    "threads": {"model": "threads", "queue": "threads", "concurrency": env.whole("THREADS_CONCURRENCY", 32)},
    "gevent": {"model": "gevent", "queue": "gevent", "concurrency": env.whole("GEVENT_CONCURRENCY", 200)},
    "asyncio": {"model": "asyncio", "queue": "asyncio", "concurrency": env.whole("ASYNCIO_CONCURRENCY", 200)},
}
if "JOB_POOLS" in os.environ:
    JOB_POOLS = env.from_json("JOB_POOLS", {})
#: Where a job of each kind runs when the submission names no pool.
JOB_DEFAULT_POOLS: dict[str, str] = {
    "io": "gevent",
    "cpu": "prefork",
    "mixed": "threads",
    "hazard": "threads",
}
JOB_KEY_PREFIX: str = env.text("JOB_KEY_PREFIX", "poolwise:")
JOB_MAX_COPIES: int = env.whole("JOB_MAX_COPIES", 1000)
JOB_MAX_QUEUED: int = env.whole("JOB_MAX_QUEUED", 10_000)
JOB_MAX_QUEUED_PER_USER: int = env.whole("JOB_MAX_QUEUED_PER_USER", 2_000)
#: The time limit of definitions that declare none; 0: none.
JOB_TIME_LIMIT_S: float = env.number("JOB_TIME_LIMIT_S", 3600.0)
#: After how many workers that jobs of one definition ended by hanging, in 5 minutes, it is paused; 0: never.
JOB_PAUSE_AFTER_HANGS: int = env.whole("JOB_PAUSE_AFTER_HANGS", 5)
#: The jobs of one worker that have connections to a database server at a time; the others wait for one to end.
JOB_DATABASE_CONNECTIONS: int = env.whole("JOB_DATABASE_CONNECTIONS", 20)
JOB_RESULT_MAX_BYTES: int = env.whole("JOB_RESULT_MAX_BYTES", 1_048_576)
JOB_LOG_MAX_LINES: int = env.whole("JOB_LOG_MAX_LINES", 200)
JOB_HEARTBEAT_S: float = env.number("JOB_HEARTBEAT_S", 2.0)
#: Touched with each heartbeat, for cheap health checks; empty: none.
JOB_HEARTBEAT_FILE: str = env.text("JOB_HEARTBEAT_FILE", "")
JOB_WORKER_DEAD_AFTER_S: float = env.number("JOB_WORKER_DEAD_AFTER_S", 8.0)
JOB_PUBLISH_BUDGET_S: float = env.number("JOB_PUBLISH_BUDGET_S", 0.5)
JOB_SAMPLE_EVERY_S: float = env.number("JOB_SAMPLE_EVERY_S", 5.0)
JOB_SAMPLE_KEEP_DAYS: int = env.whole("JOB_SAMPLE_KEEP_DAYS", 8)
JOB_KEEP_DAYS: float = env.number("JOB_KEEP_DAYS", 30.0)
JOB_KEEP_MAX: int = env.whole("JOB_KEEP_MAX", 1_000_000)
AUDIT_KEEP_DAYS: float = env.number("AUDIT_KEEP_DAYS", 365.0)
API_MAX_BODY_BYTES: int = env.whole("API_MAX_BODY_BYTES", 1_048_576)
JOB_FILES_DIR: str = env.text("JOB_FILES_DIR", "") or str(VAR_DIR / "files")
JOB_HTTP_DEMO_URL: str = env.text("JOB_HTTP_DEMO_URL", "http://127.0.0.1:8099")
#: Allow jobs that end their worker on purpose.
JOB_ALLOW_HARMFUL: bool = env.flag("JOB_ALLOW_HARMFUL", DEBUG)
#: Whether HTTP jobs may reach the public internet (ports 80 and 443); private addresses only by the list below.
JOB_HTTP_PUBLIC: bool = env.flag("JOB_HTTP_PUBLIC", True)
JOB_HTTP_ALLOWED_HOSTS: list[str] = env.names(
    "JOB_HTTP_ALLOWED_HOSTS", [JOB_HTTP_DEMO_URL.split("://", 1)[-1]]
)

TASKS = {"default": {"BACKEND": "poolwise.backend.PoolwiseBackend", "QUEUES": []}}

# --- logs -----------------------------------------------------------------------------------------------
LOG_FORMAT: str = env.text("LOG_FORMAT", "console")
LOG_LEVEL: str = env.text("LOG_LEVEL", "INFO").upper()
LOGGING = logs.logging_config(style=LOG_FORMAT, level=LOG_LEVEL)
