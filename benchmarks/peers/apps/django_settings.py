"""Settings of the peers that are Django apps: connections stay open, SQLite as Poolwise sets it."""

import os

import dj_database_url

SECRET_KEY = "only-for-benchmarks"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    *os.environ["BENCH_DJANGO_APPS"].split(),
]
_POOLED = "BENCH_CONNECTION_POOL" in os.environ
_database = dj_database_url.config(conn_max_age=0 if _POOLED else None)
DATABASES = {"default": _database}
if _database["ENGINE"].endswith("sqlite3"):
    _database["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
elif _POOLED:
    _database["OPTIONS"] = {"pool": {"min_size": 2, "max_size": 20, "timeout": 60}}
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
Q_CLUSTER = {
    "name": "peers",
    "workers": int(os.environ["BENCH_SLOTS"]),
    "timeout": 60,
    "retry": 120,
    "queue_limit": 500,
    "save_limit": 0,
    "catch_up": False,
    "redis": os.environ["BENCH_REDIS"],
}
LOGGING = {"version": 1, "disable_existing_loggers": False, "root": {"level": "WARNING"}}
