"""Rows of a platform that has been in use: jobs of twenty users, results, log lines, samples and comparisons.

Written by the database itself, as fast as it can. The newest 2 % of the jobs are queued. The oldest 1,000 jobs belong
to a user, a definition and a pool that have no newer ones: what a list must find without reading all that came since.
"""

import uuid
from datetime import timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

DEFINITIONS = (
    "io.wait",
    "io.http_get",
    "cpu.primes",
    "cpu.sha256",
    "mixed.fetch_and_count",
    "endings.succeed",
)
OLD_DEFINITION, OLD_POOL, OLD_JOBS = "cpu.json_round_trip", "old", 1_000
POOLS = ("prefork", "threads", "gevent", "asyncio")
#: The ids of users: the oldest jobs' owner, then twenty who share all others.
OLD_USER, USERS = 100, range(101, 121)
#: Seconds between two jobs: a million in 20 days.
_EVERY_S = 1.7
_SAMPLE_EVERY_S, _SAMPLED_S = 5, 8 * 86_400


def fill(rows: int, *, sampled_s: int = _SAMPLED_S, comparisons: int = 200) -> None:
    """Write `rows` jobs and all that belongs to them; `sampled_s` is how far back the samples of pools go."""
    _users()
    indexes = _drop_indexes()
    with connection.cursor() as cursor:
        cursor.execute(_jobs(rows))
        cursor.execute(_RESULTS[connection.vendor])
        cursor.execute(_LOGS)
        for pool in POOLS:
            cursor.execute(_samples(pool, sampled_s // _SAMPLE_EVERY_S))
        for statement in indexes:
            cursor.execute(statement)
    _comparisons(comparisons)


def _drop_indexes() -> list[str]:
    """Drop the indexes of jobs and results on SQLite, which is slow to keep them; return what makes them again."""
    if connection.vendor != "sqlite":
        return []
    tables = "('poolwise_job', 'django_celery_results_taskresult')"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN {tables}"
        )
        found = cursor.fetchall()
        for name, _ in found:
            cursor.execute(f'DROP INDEX "{name}"')
    return [statement for _, statement in found]


def _users() -> None:
    from django.contrib.auth.models import User

    User.objects.create_superuser("administrator", password="!")
    User.objects.bulk_create(User(id=pk, username=f"user{pk}") for pk in (OLD_USER, *USERS))


def _pick(values: tuple[str, ...], index: str) -> str:
    cases = " ".join(f"WHEN {number} THEN '{value}'" for number, value in enumerate(values))
    return f"CASE {index} % {len(values)} {cases} END"


def _jobs(rows: int) -> str:
    """Return the statement that inserts the jobs, number 1 the oldest."""
    queued, old = f"g > {rows - rows // 50}", f"g <= {min(OLD_JOBS, rows // 2)}"
    at = _at(rows)
    ran = f"CASE WHEN {queued} THEN NULL ELSE {{}} END"
    columns = {
        "id": _ID[connection.vendor],
        "definition": f"CASE WHEN {old} THEN '{OLD_DEFINITION}' ELSE {_pick(DEFINITIONS, '(g * 7)')} END",
        "kind": f"CASE WHEN {old} THEN 'cpu' ELSE {_pick(('io', 'io', 'cpu', 'cpu', 'mixed', 'io'), '(g * 7)')} END",
        "params": _PARAMS[connection.vendor],
        "pool": f"CASE WHEN {old} THEN '{OLD_POOL}' ELSE {_pick(POOLS, 'g')} END",
        "state": f"CASE WHEN {queued} THEN 'queued' WHEN g % 100 < 96 THEN 'succeeded' WHEN g % 100 < 99 THEN 'failed' "
        "ELSE 'cancelled' END",
        "user_id": f"CASE WHEN {old} THEN {OLD_USER} ELSE {USERS[0]} + (g * 11) % {len(USERS)} END",
        "request_id": "'request-' || (g / 4)",
        "chosen_by": "''",
        "created_at": at("0"),
        "attempt": "1",
        "max_attempts": "1",
        "history": "'[]'",
        "published_at": ran.format(at("0.002")),
        "received_at": ran.format(at("0.004")),
        "started_at": ran.format(at("0.005")),
        "finished_at": ran.format(at(f"0.005 + {_RUN_S}")),
        "recorded_at": ran.format(at(f"0.1 + {_RUN_S}")),
        "broker_wait_s": ran.format("0.002"),
        "worker_wait_s": ran.format("0.001"),
        "run_s": ran.format(_RUN_S),
        "cpu_s": ran.format(f"{_RUN_S} / 3"),
        "off_cpu_s": ran.format(f"{_RUN_S} * 2 / 3"),
        "stall_s": ran.format("CASE WHEN g % 50 < 2 THEN 0.05 ELSE 0.0 END"),
        "caused_stall_s": ran.format("CASE WHEN g % 50 = 2 THEN 0.05 ELSE 0.0 END"),
        "record_lag_s": ran.format("0.08"),
        "payload_bytes": "30",
        "result_bytes": ran.format("4"),
        "worker": f"CASE WHEN {queued} THEN '' ELSE {_pick(POOLS, 'g')} || '-abc123@host' END",
        "pid": ran.format("4000 + g % 4"),
        "thread": "'MainThread'",
        "greenlet_or_task": "''",
        "offloaded": "false",
        "error_type": f"CASE WHEN g % 100 IN (96, 97, 98) AND NOT {queued} THEN 'RuntimeError' ELSE '' END",
        "error": f"CASE WHEN g % 100 IN (96, 97, 98) AND NOT {queued} THEN 'raised on purpose' ELSE '' END",
    }
    return f"INSERT INTO poolwise_job ({', '.join(columns)}) SELECT {', '.join(columns.values())} FROM {_series(rows)}"


_RUN_S = "((g * 13) % 997 / 1000.0)"
_ID = {"sqlite": "lower(hex(randomblob(16)))", "postgresql": "gen_random_uuid()"}
_PARAMS = {
    "sqlite": f"json_object('duration_s', {_RUN_S}, 'seed', g)",
    "postgresql": f"jsonb_build_object('duration_s', {_RUN_S}, 'seed', g)",
}
_DASHED = " || '-' || ".join(
    f"substr(id, {start}, {length})" for start, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
)
_RESULTS = {
    vendor: "INSERT INTO django_celery_results_taskresult (task_id, status, content_type, content_encoding, result, "
    f"date_done, meta, task_args, task_kwargs, task_name, worker, date_created, date_started) SELECT {task_id}, CASE state "
    "WHEN 'succeeded' THEN 'SUCCESS' WHEN 'failed' THEN 'FAILURE' ELSE 'REVOKED' END, 'application/json', 'utf-8', '0.25', "
    "recorded_at, '{}', '[]', '{}', definition, worker, started_at, started_at FROM poolwise_job "
    "WHERE recorded_at IS NOT NULL ORDER BY created_at"
    for vendor, task_id in {"sqlite": _DASHED, "postgresql": "id::text"}.items()
}
_LOGS = (
    'INSERT INTO poolwise_joblog (job_id, attempt, lines, dropped) SELECT id, 1, \'[[0.1, "INFO", "a line"]]\', 0 '
    "FROM poolwise_job WHERE state = 'failed'"
)


def _series(rows: int) -> str:
    if connection.vendor == "sqlite":
        numbers = f"WITH RECURSIVE n(g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM n WHERE g < {rows})"
        return f"({numbers} SELECT g FROM n)"
    return f"generate_series(1, {rows}) AS g"


def _at(rows: int, every_s: float = _EVERY_S) -> Any:
    """Return what makes SQL of the moment of row `g`, plus so many seconds; the newest is now."""
    now = timezone.now().timestamp()
    template = {
        "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', {}, 'unixepoch')",
        "postgresql": "to_timestamp({})",
    }[connection.vendor].replace("%%", "%")
    return lambda more: template.format(f"{now} - ({rows} - g) * {every_s} + {more}")


def _samples(pool: str, rows: int) -> str:
    at = _at(rows, _SAMPLE_EVERY_S)("0")
    return (
        "INSERT INTO poolwise_poolsample (pool, at, queued, running, oldest_s, workers, slots, memory_bytes) "
        f"SELECT '{pool}', {at}, g % 20, g % 4, 1, 1, 20, 90000000 FROM {_series(rows)}"
    )


def _comparisons(others: int, rounds: int = 5, copies: int = 50) -> None:
    """Write a finished comparison with its jobs, one that runs, and many others with the same report."""
    from poolwise.lab import report as lab_report
    from poolwise.models import Comparison

    fields = {"definition": "io.wait", "params": {"duration_s": 0.1}, "copies": copies, "rounds": rounds}
    now = timezone.now()
    ended = Comparison.objects.create(**fields, state=Comparison.State.FINISHED, finished_at=now)
    for number in range(rounds):
        for pool in POOLS:
            _batch(ended, pool, number)
    lab_report.freeze(ended)
    running = Comparison.objects.create(
        **fields, state=Comparison.State.RUNNING, created_at=now + timedelta(seconds=1)
    )
    for pool in POOLS[:2]:
        _batch(running, pool, 0)
    Comparison.objects.bulk_create(
        Comparison(
            **fields,
            state=Comparison.State.FINISHED,
            report=ended.report,
            created_at=now - timedelta(hours=hours + 1),
        )
        for hours in range(others)
    )


def _batch(comparison: Any, pool: str, number: int) -> None:
    from poolwise.models import Batch, Job

    position = comparison.batches.count() + 1
    start = timezone.now() - timedelta(hours=2) + timedelta(seconds=100 * position)
    span_s = 0.5 + POOLS.index(pool) / 10 + number / 100
    end = start + timedelta(seconds=span_s)
    batch = Batch.objects.create(
        comparison=comparison,
        pool=pool,
        round=number + 1,
        position=position,
        slots=4,
        released_at=start,
        finished_at=end,
    )
    columns: Any = {
        "definition": "io.wait", "kind": "io", "params": comparison.params, "pool": pool, "state": "succeeded",
        "created_at": start, "published_at": start, "received_at": start, "started_at": start, "finished_at": end,
        "broker_wait_s": 0.001, "worker_wait_s": 0.001, "run_s": span_s, "cpu_s": span_s / 100, "worker": f"{pool}@host",
        "batch": batch,
    }  # fmt: skip
    Job.objects.bulk_create(Job(id=uuid.uuid4(), **columns) for _ in range(comparison.copies))
