"""The database by plain SQL, independent of Poolwise: no Django, no `poolwise`."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg

LIVE = ("queued", "running")
ENDED = ("succeeded", "failed", "cancelled")
_FAULTS = (sqlite3.Error, psycopg.Error)

#: A trigger logs every outcome that is written: the first of a job, and any later change.
_WATCH_SQLITE = """
CREATE TABLE drill_outcome (job TEXT, was TEXT, state TEXT, attempt INTEGER);
CREATE TRIGGER drill_outcome AFTER UPDATE ON poolwise_job
WHEN NEW.state IN ('succeeded','failed','cancelled')
  AND (OLD.state <> NEW.state OR OLD.attempt <> NEW.attempt OR OLD.recorded_at IS NOT NEW.recorded_at)
  OR OLD.state IN ('succeeded','failed','cancelled') AND OLD.state <> NEW.state
BEGIN INSERT INTO drill_outcome VALUES (NEW.id, OLD.state, NEW.state, NEW.attempt); END;
"""
_WATCH_POSTGRES = """
CREATE TABLE drill_outcome (job uuid, was text, state text, attempt integer);
CREATE FUNCTION drill_outcome() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO drill_outcome VALUES (NEW.id, OLD.state, NEW.state, NEW.attempt); RETURN NEW; END $$;
CREATE TRIGGER drill_outcome AFTER UPDATE ON poolwise_job FOR EACH ROW
WHEN (NEW.state IN ('succeeded','failed','cancelled')
  AND (OLD.state <> NEW.state OR OLD.attempt <> NEW.attempt OR OLD.recorded_at IS DISTINCT FROM NEW.recorded_at)
  OR OLD.state IN ('succeeded','failed','cancelled') AND OLD.state <> NEW.state)
EXECUTE FUNCTION drill_outcome();
"""


class DatabaseAway(Exception):
    """The database does not answer now."""


class Database:
    """Asks one database; each question opens a connection of its own, since drills restart the server."""

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def is_sqlite(self) -> bool:
        """Return whether it is a file."""
        return self.url.startswith("sqlite")

    def connect(self) -> Any:
        """Open a connection; the caller closes it. Raise the database's errors."""
        if self.is_sqlite:
            return sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=5, isolation_level=None)
        return psycopg.connect(self.url, autocommit=True, connect_timeout=3)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT. Raise DatabaseAway."""
        try:
            with closing(self.connect()) as connection:
                if not self.is_sqlite:  # a drill that waited for its own lock would wait for ever
                    connection.execute("SET lock_timeout = '500ms'")
                return list(connection.execute(sql).fetchall())
        except _FAULTS as error:
            raise DatabaseAway(str(error)) from error

    def watch_outcomes(self) -> None:
        """Make the database log each outcome of a job; once, after the migrations."""
        with closing(self.connect()) as connection:
            if self.is_sqlite:
                connection.executescript(_WATCH_SQLITE)
            else:
                connection.execute(_WATCH_POSTGRES)

    def live(self) -> dict[str, str]:
        """Return the pool of each job that has not ended, by id. Raise DatabaseAway."""
        rows = self.ask(f"SELECT id, pool FROM poolwise_job WHERE state IN {LIVE}")
        return {_id(job): pool for job, pool in rows}

    def running(self, *, longer_than_s: float) -> dict[str, int]:
        """Return how many jobs run in each pool that were submitted to wait for longer. Raise DatabaseAway."""
        rows = self.ask("SELECT pool, params FROM poolwise_job WHERE state = 'running'")
        params = ((pool, text if isinstance(text, dict) else json.loads(text)) for pool, text in rows)
        return Counter(pool for pool, values in params if values["duration_s"] > longer_than_s)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Block every writer for the length of a with block."""
        with closing(self.connect()) as connection:
            connection.execute("BEGIN EXCLUSIVE" if self.is_sqlite else "BEGIN")
            if not self.is_sqlite:
                connection.execute("LOCK TABLE poolwise_job IN ACCESS EXCLUSIVE MODE")
            try:
                yield
            finally:
                connection.execute("ROLLBACK")

    def jobs(self) -> Iterator[dict[str, Any]]:
        """Return each job with what the checker needs. Raise DatabaseAway."""
        names = (
            "id", "pool", "state", "attempt", "max_attempts", "history", "created_at", "started_at",
            "finished_at", "recorded_at", "broker_wait_s", "worker_wait_s", "run_s", "record_lag_s", "definition",
            "error_type",
        )  # fmt: skip
        rows = self.ask(f"SELECT {', '.join(names)} FROM poolwise_job")
        for row in rows:
            job = dict(zip(names, row, strict=True))
            job["id"] = _id(job["id"])
            job["history"] = (
                job["history"] if isinstance(job["history"], list) else json.loads(job["history"])
            )
            for name in names[6:10]:
                job[name] = _stamp(job[name])
            yield job

    def results(self) -> dict[str, list[tuple[str, str | None]]]:
        """Return the (status, result) rows of TaskResult by job id. Raise DatabaseAway."""
        rows = self.ask("SELECT task_id, status, result FROM django_celery_results_taskresult")
        return _grouped((_id(job), (status, result)) for job, status, result in rows)

    def outcomes(self) -> dict[str, list[tuple[str, str, int]]]:
        """Return the (state before, state, attempt) of each outcome by job id. Raise DatabaseAway."""
        rows = self.ask("SELECT job, was, state, attempt FROM drill_outcome")
        return _grouped((_id(job), (was, state, attempt)) for job, was, state, attempt in rows)


def _id(value: object) -> str:
    return UUID(str(value)).hex


def _grouped(pairs: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def _stamp(value: Any) -> float | None:
    """Return a column's date as POSIX seconds; SQLite stores it as text in UTC."""
    if value is None:
        return None
    if isinstance(value, str):
        value = datetime.fromisoformat(value).replace(tzinfo=UTC)
    return float(value.timestamp())
