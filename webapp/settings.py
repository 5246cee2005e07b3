"""Settings, for both modes. The mode is explicit (MMFRM_MODE) and everything that differs is here.

embedded  SQLite, a Redis-compatible server on a Unix socket, files in DATA_DIR. The default.
server    PostgreSQL, Redis, shared storage; all named in the environment (see .env.example).
"""

from __future__ import annotations

import hashlib
import secrets
import tempfile
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

env = environ.Env()
BASE_DIR = Path(__file__).resolve().parent.parent

MODE = env.str("MMFRM_MODE", "embedded")
if MODE not in ("embedded", "server"):
    raise ImproperlyConfigured(f"MMFRM_MODE is {MODE!r}; it must be embedded or server.")
EMBEDDED = MODE == "embedded"

DATA_DIR = Path(env.str("DATA_DIR", str(BASE_DIR / "data"))).expanduser().resolve()
DATA_DIR.mkdir(parents=True, exist_ok=True)


def _secret_key() -> str:
    """From the environment, or (embedded) made once and kept readable by the owner alone."""
    if not EMBEDDED:
        return str(env.str("SECRET_KEY"))
    path = DATA_DIR / "secret.key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(50))
    return path.read_text()


SECRET_KEY = _secret_key()
DEBUG = env.bool("DEBUG", False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["*"] if EMBEDDED else [])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "channels",
    "django_htmx",
    "webapp.accounts",
    "webapp.jobs",
    "webapp.uploads",
    "webapp.datasets",
    "webapp.experiments",
    "webapp.searches",
    "webapp.registry",
    "webapp.labeling",
    "webapp.news",
    "webapp.live",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "webapp.middleware.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",  # everything needs a sign-in unless it says not
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "webapp.urls"
ASGI_APPLICATION = "webapp.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "loaders": (
                ["django.template.loaders.filesystem.Loader"]
                if DEBUG
                else [
                    ("django.template.loaders.cached.Loader", ["django.template.loaders.filesystem.Loader"])
                ]
            ),
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "webapp.context.house",
            ],
            "builtins": ["django.templatetags.static", "webapp.templatetags.house", "webapp.uploads.tags"],
        },
    }
]

AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "accounts:sign_in"
LOGIN_REDIRECT_URL = "home"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

LANGUAGE_CODE = "en"
TIME_ZONE = env.str("TIME_ZONE", "UTC")
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- database ------------------------------------------------------------------------------------

DATABASES: dict[str, Any]
if EMBEDDED:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATA_DIR / "db.sqlite3",
            # All three are needed for several writers: WAL, IMMEDIATE and a busy timeout.
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    }
else:
    DATABASES = {"default": {**env.db("DATABASE_URL"), "CONN_HEALTH_CHECKS": True, "CONN_MAX_AGE": 60}}

# --- the doorbell: Celery and Channels over Redis ---------------------------------------------------


def _socket_path() -> Path:
    """In the data folder; or, where that path is too long for a Unix socket (about 100 bytes), in /tmp."""
    path = DATA_DIR / "run" / "valkey.sock"
    if len(str(path).encode()) < 100:
        return path
    digest = hashlib.sha256(str(DATA_DIR).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"mmfrm-{digest}" / "valkey.sock"


REDIS_SOCKET = _socket_path()
REDIS_URL = f"unix://{REDIS_SOCKET}" if EMBEDDED else env.str("REDIS_URL")
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "webapp.live.layers.PatientRedisLayer",
        "CONFIG": {
            # Waiting for a message takes 5 s, which is also redis-py's patience unless told otherwise.
            "hosts": [{"address": REDIS_URL, "socket_timeout": 30, "socket_connect_timeout": 2}],
            "prefix": "mmfrm",
            # Messages are hints and may be dropped: a slow reader catches up from the rows.
            "capacity": 100,
            "expiry": 30,
        },
    }
}
CELERY_BROKER_URL = f"redis+socket://{REDIS_SOCKET}" if EMBEDDED else REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # for ever: the broker comes back
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_PUBLISH_RETRY = False  # the reaper rings again; a request never waits for the broker
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_connect_timeout": 2,
    "socket_timeout": 30,
    "max_retries": 1,  # by default six seconds of retries, in which a page would wait
    "interval_start": 0,
    "connect_retries_timeout": 1,
}

# --- files ----------------------------------------------------------------------------------------

STATIC_URL = "static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", str(DATA_DIR / "static")))
STATICFILES_DIRS = [BASE_DIR / "static"]
# Ours alone: what apps bring of their own is not used, and cannot all be hashed.
STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "webapp.staticfiles.HashedStaticFiles"},
}
UPLOAD_CHUNK_BYTES = 8 * 2**20
UPLOAD_MAX_BYTES = env.int("UPLOAD_MAX_BYTES", 100 * 2**30)
UPLOAD_QUOTA_BYTES = env.int(
    "UPLOAD_QUOTA_BYTES", 500 * 2**30
)  # a user's unfinished and unread uploads together
UPLOAD_KEEP_DAYS = env.float("UPLOAD_KEEP_DAYS", 7.0)  # after the last byte, before an abandoned one is swept
DISK_RESERVE_BYTES = env.int("DISK_RESERVE_BYTES", 2**30)  # an upload never takes the last of the disk
# Folders of the server whose content administrators may import without sending it; none by default.
IMPORT_ROOTS = [Path(root) for root in env.list("IMPORT_ROOTS", default=[])]
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 2**20  # of ordinary forms
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000

# --- jobs -----------------------------------------------------------------------------------------

JOB_HEARTBEAT_SECONDS = env.float("JOB_HEARTBEAT_SECONDS", 2.0)
JOB_LOST_SECONDS = env.float("JOB_LOST_SECONDS", 12.0)  # without heartbeat, a job is taken from its worker
HARDWARE_SECONDS = env.float("HARDWARE_SECONDS", 5.0)  # between two readings of a training's machine
JOB_GRACE_SECONDS = env.float("JOB_GRACE_SECONDS", 60.0)  # between asking a child to stop and killing it
# When a worker itself is shut down: the embedded mode ends within ten seconds, a server has more time.
WORKER_LEAVE_SECONDS = env.float("WORKER_LEAVE_SECONDS", 6.0 if EMBEDDED else 50.0)
JOB_MOST_LOSSES = env.int("JOB_MOST_LOSSES", 5)  # deaths without a checkpoint between them

# --- webhooks: none is sent until somebody sets one -------------------------------------------------

# Networks beside the public ones that webhooks may reach, as 10.1.0.0/16 or 127.0.0.1/32.
WEBHOOK_NETWORKS = env.list("WEBHOOK_NETWORKS", default=[])

# --- safety ---------------------------------------------------------------------------------------

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_NAME = "mmfrm_session"
CSRF_COOKIE_NAME = "mmfrm_csrf"
if not EMBEDDED:
    HTTPS = env.bool("HTTPS", True)
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
    SECURE_REDIRECT_EXEMPT = [r"^health$"]
    SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", 31_536_000) if HTTPS else 0
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", "INFO")},
    "loggers": {
        "django.server": {"level": "WARNING"},
        "uvicorn.access": {"level": "WARNING"},
        "channels_redis": {"level": "WARNING"},
    },
}
