"""Keymeter's settings, all of them, read from the environment. The README lists what an operator sets.

There are no insecure defaults: what is missing is reported by the system check `keymeter.E001`, and the web server,
the gateway and the workers refuse to start. `manage.py dev` makes its own secrets in `var/`.
"""

import sys
from pathlib import Path
from urllib.parse import urlsplit

from config import env
from config.dialect import dialect
from config.key_patterns import KeyPattern, key_patterns
from config.logs import hide_secrets_like, logging_config

BASE_DIR = Path(__file__).resolve().parent.parent.parent
VAR_DIR = env.read("VAR_DIR", Path, BASE_DIR / "var")

# --- Secrets -------------------------------------------------------------------------------------------------------
SECRET_KEY = env.read("SECRET_KEY", env.secret, "", required=True)
SECRET_KEY_FALLBACKS: list[str] = env.read("SECRET_KEY_FALLBACKS", env.words, [])
KEY_PEPPERS: dict[int, bytes] = env.read("KEY_PEPPERS", env.peppers, {}, required=True)
ENCRYPTION_KEYS: list[str] = env.read("ENCRYPTION_KEYS", env.fernet_keys, [], required=True)

# --- Where we are --------------------------------------------------------------------------------------------------
DEBUG = False
CONSOLE_URL = env.read("CONSOLE_URL", env.origin, "http://localhost:8000", required=True)
API_URL = env.read("API_URL", env.origin, "http://localhost:8001/v1", required=True)
INTAKE_URL = env.read("INTAKE_URL", env.origin, CONSOLE_URL)
ALLOWED_HOSTS = env.read("ALLOWED_HOSTS", env.words, [urlsplit(CONSOLE_URL).hostname or "localhost"])
CSRF_TRUSTED_ORIGINS = [CONSOLE_URL]
ALLAUTH_TRUSTED_PROXY_COUNT = env.read("TRUSTED_PROXIES", int, 0)

# --- Engines -------------------------------------------------------------------------------------------------------
DATABASE_URL = env.read("DATABASE_URL", str, "postgresql://keymeter@127.0.0.1:5432/keymeter", required=True)
# Who the servers sign in as, where `migrate` runs as another role.
DATABASE_APPLICATION_ROLE = env.read("DATABASE_APPLICATION_ROLE", str, "")
VALKEY_URL = env.read("VALKEY_URL", str, "redis://127.0.0.1:6379/0", required=True)
CELERY_BROKER_URL = env.read("CELERY_BROKER_URL", str, VALKEY_URL)
DATABASES = {
    "default": {
        **env.env.db_url_config(DATABASE_URL),
        "CONN_MAX_AGE": 0,
        "OPTIONS": {
            "pool": {"min_size": 1, "max_size": env.read("DATABASE_POOL_SIZE", int, 12), "timeout": 5},
            "application_name": "keymeter",
            "connect_timeout": 5,
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- The product ---------------------------------------------------------------------------------------------------
PRODUCT_NAME = env.read("PRODUCT_NAME", str, "Keymeter")
DIALECT = env.read("DIALECT", dialect, dialect("openai"))
KEY_PREFIX = env.read("KEY_PREFIX", str, DIALECT.key_prefix)
REFUSE_PLAIN_HTTP = env.read("REFUSE_PLAIN_HTTP", env.boolean, DIALECT.plain_http == "refused")
PREVIEW_ENDPOINTS = env.read("PREVIEW_ENDPOINTS", env.words_or_none, list(DIALECT.preview))
IMPORTED_KEY_PATTERNS: tuple[KeyPattern, ...] = env.read("IMPORTED_KEY_PATTERNS", key_patterns, ())
SIGNUP_CREDIT_NANOS = env.read("SIGNUP_CREDIT", env.dollars, 5 * env.NANOS)
# Below which balance a new organization is told, until it chooses otherwise; 0 is none.
LOW_BALANCE_NOTICE_NANOS = env.read("LOW_BALANCE_NOTICE", env.dollars, env.NANOS)
PLAN_GRACE_DAYS = env.read("PLAN_GRACE_DAYS", int, 7)
USAGE_EVENT_DAYS = env.read("USAGE_EVENT_DAYS", int, 400)
SECRET_USE_DAYS = env.read("SECRET_USE_DAYS", int, 90)
# Whose what upstreams store is: how long it is known at all, and how long by Valkey too.
STORED_DAYS = env.read("STORED_DAYS", env.count, 30)
UNFINISHED_HOURS = env.read("UNFINISHED_HOURS", env.count, 24)
STORED_HOT_SECONDS = env.read("STORED_HOT_SECONDS", env.count, 3_600)
ARCHIVE_DIR = env.read("ARCHIVE_DIR", Path, VAR_DIR / "archive")

# --- Payments ------------------------------------------------------------------------------------------------------
STRIPE_SECRET_KEY = env.read("STRIPE_SECRET_KEY", env.stripe_key, "")
STRIPE_WEBHOOK_SECRETS: list[str] = env.read(
    "STRIPE_WEBHOOK_SECRETS", env.webhook_secrets, [], required=bool(STRIPE_SECRET_KEY)
)
STRIPE_ACCOUNT = env.read("STRIPE_ACCOUNT", str, "")
STRIPE_API_BASE = env.read("STRIPE_API_BASE", env.origin, "https://api.stripe.com")
_local_stripe = STRIPE_API_BASE.replace("//127.0.0.1:", "//localhost:") if "//127.0.0.1:" in STRIPE_API_BASE else ""
STRIPE_CHECKOUT_ORIGIN = env.read("STRIPE_CHECKOUT_ORIGIN", env.origin, _local_stripe or "https://checkout.stripe.com")
STRIPE_PORTAL_ORIGIN = env.read("STRIPE_PORTAL_ORIGIN", env.origin, _local_stripe or "https://billing.stripe.com")
STRIPE_TIMEOUT_SECONDS = env.read("STRIPE_TIMEOUT_SECONDS", int, 10)
# How long it is known which of its events were handled; 0 is for ever.
STRIPE_EVENT_DAYS = env.read("STRIPE_EVENT_DAYS", int, 90)
# Pages write amounts with a dollar sign, so it isn't read from the environment.
CURRENCY = "usd"
TOP_UP_LEAST_NANOS = env.read("TOP_UP_LEAST", env.cents, 5 * env.NANOS)
TOP_UP_MOST_NANOS = env.read("TOP_UP_MOST", env.cents, 5_000 * env.NANOS)

# --- The gateway ---------------------------------------------------------------------------------------------------
GATEWAY_CREDENTIAL = env.read("GATEWAY_CREDENTIAL", str, "")
GATEWAY_SPOOL_DIR = env.read("GATEWAY_SPOOL_DIR", Path, VAR_DIR / "spool")
GATEWAY_MAX_BODY_BYTES = env.read("GATEWAY_MAX_BODY_BYTES", int, 10 * 1024 * 1024)
GATEWAY_SEGMENT_SECONDS = env.read("GATEWAY_SEGMENT_SECONDS", float, 1.0)
GATEWAY_SEGMENT_BYTES = env.read("GATEWAY_SEGMENT_BYTES", int, 4 * 1024 * 1024)
GATEWAY_FSYNC_SECONDS = env.read("GATEWAY_FSYNC_SECONDS", float, 1.0)
HOLD_LEASE_SECONDS = env.read("HOLD_LEASE_SECONDS", int, 120)
KEY_CACHE_SIZE = env.read("KEY_CACHE_SIZE", int, 20_000)
EXPLAIN_SAMPLE_PERCENT = env.read("EXPLAIN_SAMPLE_PERCENT", int, 1)
EXPLAIN_DAYS = env.read("EXPLAIN_DAYS", int, 7)
EXPLAIN_MOST_PER_ORGANIZATION = env.read("EXPLAIN_MOST_PER_ORGANIZATION", int, 500)
METRICS_TOKEN = env.read("METRICS_TOKEN", env.secret, "")
RECOVERY_SECONDS = env.read("RECOVERY_SECONDS", float, 10.0)
FORWARD_AUTH_PROXIES = env.read("FORWARD_AUTH_PROXIES", int, 1)
FORWARD_AUTH_HOLD_NANOS = env.read("FORWARD_AUTH_HOLD", env.dollars, env.NANOS // 100)
UPSTREAM_CONNECT_SECONDS = env.read("UPSTREAM_CONNECT_SECONDS", float, 5.0)
UPSTREAM_IDLE_SECONDS = env.read("UPSTREAM_IDLE_SECONDS", float, 120.0)
UPSTREAM_LONGEST_SECONDS = env.read("UPSTREAM_LONGEST_SECONDS", float, 3600.0)
UPSTREAM_ATTEMPTS = env.read("UPSTREAM_ATTEMPTS", env.count, 3)
UPSTREAM_FAILURES = env.read("UPSTREAM_FAILURES", env.count, 5)

# --- Applications --------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "csp",
    "django_htmx",
    "django_structlog",
    "rest_framework",
    "config",
    "hotstate",
    "accounts",
    "catalog",
    "billing",
    "gateway",
    "api",
    "website",
    "devstack",
]
MIDDLEWARE = [
    "config.middleware.health",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "config.middleware.no_nul",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "website.middleware.same_for_everybody",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "website.middleware.staff_second_factor",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
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
                "website.context.product",
            ],
            "builtins": ["website.templatetags.keymeter"],
        },
    }
]

# --- People --------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/start/"
ACCOUNT_LOGOUT_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "website.signup.AccountAdapter"
ACCOUNT_FORMS = {"signup": "website.forms.signup.SignupForm"}
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_CONFIRM_EMAIL_ON_GET = False
ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = f"[{PRODUCT_NAME}] "
ACCOUNT_DEFAULT_HTTP_PROTOCOL = urlsplit(CONSOLE_URL).scheme
MFA_ADAPTER = "accounts.mfa.MFAAdapter"
MFA_TOTP_ISSUER = PRODUCT_NAME
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]

# --- Mail ----------------------------------------------------------------------------------------------------------
vars().update(env.env.email_url_config(env.read("EMAIL_URL", str, "smtp://127.0.0.1:25", required=True)))
EMAIL_TIMEOUT = 10
EMAIL_SUBJECT_PREFIX = f"[{PRODUCT_NAME}] "
DEFAULT_FROM_EMAIL = env.read("DEFAULT_FROM_EMAIL", str, f"{PRODUCT_NAME} <noreply@localhost>")
SERVER_EMAIL = DEFAULT_FROM_EMAIL

# --- Browser security ----------------------------------------------------------------------------------------------
_secure = env.read("SECURE_COOKIES", env.boolean, True)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _secure
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_HSTS_SECONDS = 31_536_000 if _secure else 0
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
BEHIND_TLS_PROXY = env.read("BEHIND_TLS_PROXY", env.boolean, False)
if BEHIND_TLS_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

# --- Caches, static files, language ---------------------------------------------------------------------------------
CACHES = {
    "default": {
        "BACKEND": "config.cache.ForgivingCache",
        "LOCATION": VALKEY_URL,
        "KEY_PREFIX": "km:cache",
    }
}
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "archive": {
        "BACKEND": "billing.archive.DurableFileSystemStorage",
        "OPTIONS": {
            "location": ARCHIVE_DIR,
            "file_permissions_mode": 0o600,
            "directory_permissions_mode": 0o700,
        },
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
WHITENOISE_MAX_AGE = 60
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

# --- Work ----------------------------------------------------------------------------------------------------------
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
from config.schedule import SCHEDULE as CELERY_BEAT_SCHEDULE  # noqa: E402,F401

# A lost task is redelivered only after this time, which must exceed the longest task. Every task is idempotent, and a
# sweep finds what was lost sooner.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 900,
    "unacked_restore_interval": 60,
    "global_keyprefix": "km:q:",
}
CELERY_TASK_DEFAULT_QUEUE = "keymeter"

# --- API, logs -----------------------------------------------------------------------------------------------------
MANAGEMENT_READS_PER_MINUTE = env.read("MANAGEMENT_READS_PER_MINUTE", int, 600)
MANAGEMENT_WRITES_PER_MINUTE = env.read("MANAGEMENT_WRITES_PER_MINUTE", int, 60)
USAGE_BATCHES_PER_MINUTE = env.read("USAGE_BATCHES_PER_MINUTE", int, 600)
# Enough for a hundred gateways that share a credential.
USAGE_SEGMENTS_PER_MINUTE = env.read("USAGE_SEGMENTS_PER_MINUTE", int, 6_000)
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["api.permissions.DenyAll"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "UNAUTHENTICATED_USER": None,
}
LOGGING = logging_config(json=env.read("LOG_FORMAT", str, "json") == "json")
hide_secrets_like([pattern.expression for pattern in IMPORTED_KEY_PATTERNS])
DJANGO_STRUCTLOG_CELERY_ENABLED = True
# It would believe any X-Forwarded-For; `website.client_address` logs the address instead.
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False

TESTING = "pytest" in sys.modules
if TESTING:
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
