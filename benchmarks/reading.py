"""How long pages take with a million jobs: `python -m benchmarks.reading [--postgres] [--rows 1000000]`.

Fills a database of its own and requests every page from Django's test client, with a Redis of its own that has no workers.
`--directory` keeps the database for another run. On SQLite each page is read without the statistics that ANALYZE makes and
with them, since its plans depend on them; PostgreSQL makes them itself.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dev import redis_server
from dev.own_postgres import OwnPostgres

LIMIT_MS = 150
#: Parameters of no job: nothing is found among the definition's many.
_ESTIMATE_PATH = "/comparisons/estimate/?definition=io.wait"
_ESTIMATE = {"duration_s": "0.1234", "pools": ["threads", "gevent"], "copies": "12"}


def main() -> None:
    """Print a table of all pages for each state of the statistics."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--postgres", action="store_true", help="a PostgreSQL server of its own instead of SQLite"
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="jobs")
    parser.add_argument("--requests", type=int, default=20, help="of each page")
    parser.add_argument("--pages", default="", help="only those whose name contains this text")
    parser.add_argument(
        "--directory", type=Path, help="keep the database here, or use the one of an earlier run"
    )
    options = parser.parse_args()
    with ExitStack() as cleanup:
        directory = options.directory or Path(
            cleanup.enter_context(tempfile.TemporaryDirectory(prefix="poolwise-reading-"))
        )
        is_filled = _start(directory, cleanup, postgres=options.postgres)
        _set_up()
        if not is_filled:
            from benchmarks.filling import fill

            begin_s = time.monotonic()
            fill(options.rows)
            print(f"{options.rows:,} jobs written in {time.monotonic() - begin_s:.0f} s")
        for title in _with_statistics():
            _report(title, options.requests, options.pages)


def _start(directory: Path, cleanup: ExitStack, *, postgres: bool) -> bool:
    """Start the services and set the environment; return whether the database has been there."""
    directory.mkdir(parents=True, exist_ok=True)
    redis = cleanup.enter_context(redis_server.running(directory / "redis", durable=False))
    os.environ |= {"REDIS_URL": redis.url, "BROKER_URL": redis.url, "LOG_LEVEL": "ERROR"}
    path = directory / "database.sqlite3"
    os.environ["DATABASE_URL"] = f"sqlite:///{path}"
    if not postgres:
        return path.exists()
    server = OwnPostgres(directory)
    is_filled = server.data.exists()
    if not is_filled:
        server.create()
    server.start()
    cleanup.callback(server.stop)
    os.environ["DATABASE_URL"] = server.url
    return is_filled


def _set_up() -> None:
    import django
    from django.conf import settings
    from django.core.management import call_command

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    # With DEBUG, Django keeps every statement.
    settings.DEBUG, settings.ALLOWED_HOSTS = False, ["*"]
    call_command("migrate", verbosity=0)


def _with_statistics() -> Iterator[str]:
    """Yield the name of each state of the statistics, once it is there."""
    from django.db import connection

    def execute(*statements: str) -> None:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        connection.close()  # SQLite reads its statistics when it connects

    if connection.vendor == "postgresql":
        execute("VACUUM ANALYZE")
        yield "PostgreSQL"
        return
    execute("ANALYZE sqlite_schema", "DELETE FROM sqlite_stat1")
    yield "SQLite without ANALYZE"
    execute("ANALYZE")
    yield "SQLite after ANALYZE"


def _report(title: str, requests: int, only: str) -> None:
    print(
        f"\n{title}\n\n| page | p50, ms | p95, ms | queries | |\n| --- | --- | --- | --- | --- |", flush=True
    )
    over = 0
    for name, path in _pages().items():
        if only not in name:
            continue
        took_ms, cpu_ms, queries = zip(*_measure(path, requests, is_user=name.startswith("my ")), strict=True)
        p95, cpu_p95 = (
            statistics.quantiles(each, n=20, method="inclusive")[-1] for each in (took_ms, cpu_ms)
        )
        mark = f"over {LIMIT_MS}" if p95 > LIMIT_MS else ""
        over += bool(mark)
        counts = "–".join(str(number) for number in sorted({min(queries), max(queries)}))
        row = f"| {name} | {statistics.median(took_ms):.0f} | {p95:.0f} | {cpu_p95:.0f} | {counts} | {mark} |"
        print(row, flush=True)
    print(f"\n{over} over {LIMIT_MS} ms")


def _measure(path: str, requests: int, *, is_user: bool) -> list[tuple[float, float, int]]:
    """Return the milliseconds, those of CPU, and the number of queries of each request; one more before fills caches."""
    from django.core.cache import cache
    from django.db import connection
    from django.test import Client

    client = Client()
    client.force_login(_user(is_user=is_user), backend="django.contrib.auth.backends.ModelBackend")
    form = _ESTIMATE if path == _ESTIMATE_PATH else None
    figures = []
    for _ in range(requests + 1):
        cache.clear()  # of the dashboard's figures
        counted = _Counted()
        with connection.execute_wrapper(counted):
            begin_s, cpu_begin_s = time.perf_counter(), _cpu_s()
            response: Any = client.post(path, form) if form else client.get(path)
            took_s, cpu_s = time.perf_counter() - begin_s, _cpu_s() - cpu_begin_s
        if response.status_code != 200:
            raise SystemExit(f"{path} answers with {response.status_code}")
        figures.append((took_s * 1e3, cpu_s * 1e3, counted.number))
    return figures[1:]


def _cpu_s() -> float:
    """Return the CPU seconds of this process and of its server process in PostgreSQL."""
    from django.db import connection

    if connection.vendor != "postgresql":
        return time.process_time()
    connection.ensure_connection()
    pid = connection.connection.info.backend_pid
    return time.process_time() + int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


class _Counted:
    """Counts the statements of a request."""

    number = 0

    def __call__(self, execute: Any, *arguments: Any) -> Any:
        self.number += 1
        return execute(*arguments)


def _user(*, is_user: bool) -> Any:
    from django.contrib.auth.models import User

    from benchmarks.filling import USERS

    return User.objects.get(pk=USERS[0]) if is_user else User.objects.get(username="administrator")


def _pages() -> dict[str, str]:
    """Return the path of each page by name; those of "my" are a user's with a twentieth of the jobs."""
    return {**_fixed_pages(), **_lists(), **_admin_pages(), **_single_pages()}


def _fixed_pages() -> dict[str, str]:
    return {
        "catalogue": "/",
        "definition": "/definitions/io.wait/",
        "pools": "/pools/",
        "comparisons": "/comparisons/",
        "new comparison": "/comparisons/new/?definition=io.wait",
        "estimate": _ESTIMATE_PATH,
        **{f"dashboard {window}": f"/admin/?window={window}" for window in ("1h", "24h", "7d")},
        "API pools": "/api/pools",
        "API definitions": "/api/definitions",
        "API comparisons": "/api/comparisons",
    }


def _lists() -> dict[str, str]:
    """Return the lists of jobs on the site, in the API and in the admin, with each filter and search."""
    from benchmarks.filling import OLD_DEFINITION, OLD_POOL

    filters = {
        "": "",
        **{
            f"state={state}": f"state={state}"
            for state in ("queued", "running", "succeeded", "failed", "cancelled")
        },
        **{f"pool={pool}": f"pool={pool}" for pool in ("gevent", OLD_POOL)},
        **{f"definition={name}": f"definition={name}" for name in ("io.wait", OLD_DEFINITION)},
        **{f"age={age}": f"age={age}" for age in ("1h", "24h", "7d", "30d")},
        "kind=cpu": "kind=cpu",
        "kind=hazard (none)": "kind=hazard",
        "pool and state": "pool=threads&state=cancelled",
        "state and definition": "state=cancelled&definition=cpu.primes",
        "q: definition": "q=cpu.",
        "q: parameter": "q=123456",
        "q: nothing": "q=zzzznothing",
    }
    on_site = {"submission": "submission=request-200000", "unknown submission": "submission=none", **filters}
    return {
        **{f"my jobs {name}".strip(): f"/jobs/?{query}" for name, query in on_site.items()},
        **{f"all jobs {name}".strip(): f"/jobs/?owner=all&{query}" for name, query in on_site.items()},
        **{f"API jobs {name}".strip(): f"/api/jobs?owner=all&{query}" for name, query in filters.items()},
        **{f"admin jobs {name}".strip(): f"/admin/poolwise/job/?{query}" for name, query in filters.items()},
        **_deep_pages(),
    }


def _deep_pages() -> dict[str, str]:
    """Return pages in the middle of the history, by cursor."""
    from poolwise.models import Job

    middle: Any = Job.objects.order_by("-created_at")[Job.objects.count() // 2]
    cursor = f"{middle.created_at:%Y-%m-%dT%H:%M:%S}Z_{middle.pk.hex}"
    return {
        "my jobs, deep": f"/jobs/?before={cursor}",
        "all jobs, deep": f"/jobs/?owner=all&before={cursor}",
        "all jobs, deep, newer": f"/jobs/?owner=all&after={cursor}",
        "all jobs state=failed, deep": f"/jobs/?owner=all&state=failed&before={cursor}",
        "admin jobs, deep": f"/admin/poolwise/job/?p=before-{cursor}",
        "admin jobs pool=gevent, deep": f"/admin/poolwise/job/?pool=gevent&p=before-{cursor}",
    }


def _admin_pages() -> dict[str, str]:
    results = "/admin/django_celery_results/taskresult/"
    lists = ("comparison", "pool", "pause", "pinneddefinition", "auditentry", "apitoken")
    return {
        **{f"admin {name}": f"/admin/poolwise/{name}/" for name in lists},
        "admin comparison q": "/admin/poolwise/comparison/?q=io.",
        "admin pool page": "/admin/poolwise/pool/threads/change/",
        "admin pause a pool": "/admin/poolwise/pause/pool/threads/pause/",
        "admin results": results,
        **{
            f"admin results {status}": f"{results}?status={status}"
            for status in ("SUCCESS", "FAILURE", "RETRY")
        },
        "admin results q": f"{results}?q=cpu",
    }


def _single_pages() -> dict[str, str]:
    from poolwise.models import Comparison, Job

    ended = Job.objects.filter(state="succeeded", batch=None).order_by("-created_at")
    jobs: dict[str, Any] = {
        "job": ended.filter(stall_s=0).first(),
        "stalled job": ended.filter(stall_s__gt=0, caused_stall_s=0).first(),
        "failed job": Job.objects.filter(state="failed").order_by("-created_at").first(),
        "queued job": Job.objects.filter(state="queued").order_by("-created_at").first(),
    }
    comparisons: dict[str, Any] = {
        "comparison": Comparison.objects.filter(state="finished").first(),
        "running comparison": Comparison.objects.filter(state="running").first(),
    }
    return {
        **{name: job.get_absolute_url() for name, job in jobs.items()},
        "job run again with changes": f"/definitions/{jobs['job'].definition}/?again={jobs['job'].pk}",
        "API job": f"/api/jobs/{jobs['job'].pk}",
        "admin result page": _result_page(str(jobs["job"].pk)),
        **{name: comparison.get_absolute_url() for name, comparison in comparisons.items()},
        **{f"API {name}": f"/api/comparisons/{comparison.pk}" for name, comparison in comparisons.items()},
        "result as a file": f"{jobs['job'].get_absolute_url()}result.json",
        "API result": f"/api/jobs/{jobs['job'].pk}/result",
        "admin jobs q: id": f"/admin/poolwise/job/?q={jobs['job'].pk}",
    }


def _result_page(job_id: str) -> str:
    from django_celery_results.models import TaskResult

    result: Any = TaskResult.objects.get(task_id=job_id)
    return f"/admin/django_celery_results/taskresult/{result.pk}/change/"


if __name__ == "__main__":
    main()
