"""Settings of the demo project, from the environment (see .env.example)."""

from __future__ import annotations

import os
from pathlib import Path

import environ
from django.utils.translation import gettext_lazy as _

from . import databases

BASE_DIR = Path(__file__).resolve().parent.parent
#: Database, mails and other things made while running, outside version control.
VAR_DIR = BASE_DIR / "var"

env = environ.Env()
if os.environ.get("READ_DOT_ENV", "1") == "1":
    env.read_env(BASE_DIR / ".env")

DEBUG = env.bool("DEBUG", default=True)
if DEBUG:  # a deployment may be on a read-only disk
    VAR_DIR.mkdir(exist_ok=True)
# Outside DEBUG the key must come from the environment; there is no default to forget.
SECRET_KEY = (
    env("SECRET_KEY", default="only-for-development-" + "x" * 40) if DEBUG else env("SECRET_KEY")
)
ALLOWED_HOSTS = env.list(
    "ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"] if DEBUG else []
)
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "accounts",
    "billing",
    "jobs",  # before django_q, whose qcluster command it replaces
    "django_q",
    "config.apps.SiteConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "config.middleware.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"

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
            ]
        },
    }
]

DATABASES = {
    "default": databases.prepare(
        env.db("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'db.sqlite3'}")
    )
}
DATABASE_CONNECTION_POOLING = databases.CONNECTION_POOLING
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "accounts:login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("de", _("German"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = env("TIME_ZONE", default="UTC")
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_AGE = 365 * 86_400
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]

# Mails land in a folder in development, where the mailbox page shows them.
MAIL_DIR = Path(env("MAIL_DIR", default=str(VAR_DIR / "mails")))
if env("EMAIL_URL", default=""):
    vars().update(env.email_url("EMAIL_URL"))
else:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = str(MAIL_DIR)
EMAIL_TIMEOUT = env.int("EMAIL_TIMEOUT", default=20)
DEFAULT_FROM_EMAIL = env("DEFAULT_FROM_EMAIL", default="Bonfire <hello@bonfire.example>")
#: Where `make run` listens.
PORT = env.int("PORT", default=5000)
#: Where links in mails lead.
SITE_URL = env("SITE_URL", default=f"http://localhost:{PORT}")

#: The voucher for new users goes out so long after they signed up.
WELCOME_VOUCHER_HOURS = env.float("WELCOME_VOUCHER_HOURS", default=4.0)

Q_CLUSTER = {"name": "bonfire", "orm": "default", "timeout": 300, "retry": 360}
JOBS = {
    "WORKERS": env.int("JOBS_WORKERS", default=2),
    "QUEUES": env.list("JOBS_QUEUES", default=None),
    "MAX_RETRIES": env.int("JOBS_MAX_RETRIES", default=10),
    "SHUTDOWN_SECONDS": env.float("JOBS_SHUTDOWN_SECONDS", default=30.0),
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname:<7} {name}: {message}", "style": "{"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "jobs": {"handlers": ["console"], "level": env("LOG_LEVEL", default="INFO")},
        "accounts": {"handlers": ["console"], "level": "INFO"},
        # django-q2 says the same once more.
        "django-q": {"handlers": ["console"], "level": "WARNING"},
    },
}

if not DEBUG:
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = True
    SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=True)
    SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
