"""Celery on three of its pools: results ignored, in Redis, and in a database by django-celery-results."""

from dataclasses import replace
from functools import partial

from benchmarks.peers.servers import Servers
from benchmarks.peers.system import RESULTS, System
from benchmarks.peers.systems.poolwise import SLOTS

_POOLS = ("prefork", "threads", "gevent")
_EARLY = "acks early: a job whose worker dies is lost; no timings"
_NOTES = {
    "ignored": f"stores nothing; {_EARLY}",
    "redis": f"state and result in Redis for a day; {_EARLY}",
    "django-db": f"state and result in the database; {_EARLY}",
}


def _command(pool: str, slots: int) -> list[str]:
    options = ["--pool", pool, "--concurrency", str(slots), "--loglevel", "WARNING"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return ["celery", "-A", "benchmarks.peers.apps.celery_app", "worker", *options, *quiet]


def _in_redis(servers: Servers) -> int:
    return int(servers.client(RESULTS).dbsize())


def _system(backend: str, pool: str) -> System:
    system = System(
        name=f"celery-{backend}-{pool}",
        app="celery_app",
        venv="",
        command=partial(_command, pool),
        stored=None,
        slots=SLOTS[pool],
        packages=("celery", "django-celery-results", "redis"),
        environment={"BENCH_BACKEND": backend, "BENCH_PREFETCH": "64"},
        settings=f"pool {pool}, prefetch 64, no events, gossip, mingle, heartbeats, rate limits",
        note=_NOTES[backend],
    )
    return {"redis": _with_redis, "django-db": _with_database}.get(backend, lambda same: same)(system)


def _with_redis(system: System) -> System:
    return replace(system, stored=_in_redis)


def _with_database(system: System) -> System:
    query = "SELECT count(*) FROM django_celery_results_taskresult WHERE status = 'SUCCESS'"
    settings = {
        "DJANGO_SETTINGS_MODULE": "benchmarks.peers.apps.django_settings",
        "BENCH_DJANGO_APPS": "django_celery_results",
    }
    return replace(
        system,
        stored=("celery", query),
        environment={**system.environment, **settings},
        prepare=[["django-admin", "migrate", "--verbosity", "0"]],
        settings=f"{system.settings}, CONN_MAX_AGE None",
    )


def _pooled(system: System) -> System:
    """Return the same with psycopg's connection pool, which Celery's worker returns connections to after each job."""
    return replace(
        system,
        name=system.name.replace("django-db", "django-db-pool"),
        venv="peers",
        environment={**system.environment, "BENCH_CONNECTION_POOL": "1"},
        settings=system.settings.replace("CONN_MAX_AGE None", "psycopg pool of 20"),
        only="postgres",
    )


_SINGLE = [_system(backend, pool) for backend in _NOTES for pool in _POOLS]
SYSTEMS = (*_SINGLE, *(_pooled(system) for system in _SINGLE if "django-db" in system.name))
