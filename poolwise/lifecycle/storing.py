"""Insert jobs by as few statements as possible: `bulk_create` takes several times as long, for each column of each row."""

import json
from collections.abc import Sequence
from functools import cache
from itertools import batched
from typing import Any

from django.db import IntegrityError, connection

from poolwise.models import Job

#: Rows of one statement on PostgreSQL.
_ROWS = 500
_UNLESS_TAKEN = "ON CONFLICT DO NOTHING"


def insert(jobs: Sequence[Job]) -> None:
    """Insert new jobs; several need a transaction around, which must not commit if this raises.

    Raise IntegrityError if a key of theirs is taken. The transaction around can go on: the statement itself has not failed.
    """
    fields = [f for f in _fields() if not f.null or any(getattr(job, f.attname) is not None for job in jobs)]
    own = [field for field in fields if not _is_shared(jobs, field.attname)] if len(jobs) > 1 else []
    shared = [field for field in fields if field not in own]
    values = _prepared(jobs[0], shared)
    into = f"INSERT INTO {_quoted(Job._meta.db_table)} ({', '.join(_column(f) for f in (*shared, *own))})"
    many = _insert_selected if connection.vendor == "postgresql" else _insert_each
    inserted = many(into, values, own, jobs) if own else _insert_one(into, values)
    if inserted != len(jobs):
        raise IntegrityError("A job with the same key is stored.")
    for job in jobs:
        job._state.adding, job._state.db = False, connection.alias


def _insert_one(into: str, values: Sequence[Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"{into} VALUES ({_holders(values)}) {_UNLESS_TAKEN}", values)
        return int(cursor.rowcount)


def _insert_each(into: str, values: list[Any], own: Sequence[Any], jobs: Sequence[Job]) -> int:
    rows = [[*values, *_prepared(job, own)] for job in jobs]
    with connection.cursor() as cursor:
        cursor.executemany(f"{into} VALUES ({_holders(rows[0])}) {_UNLESS_TAKEN}", rows)
        return int(cursor.rowcount)


def _insert_selected(into: str, values: list[Any], own: Sequence[Any], jobs: Sequence[Job]) -> int:
    """Insert many rows by one JSON parameter: psycopg takes longer to write out as many values."""
    source = ", ".join(f"{_column(field)} {field.db_type(connection)}" for field in own)
    selected = ", ".join([*(["%s"] * len(values)), *map(_column, own)])
    statement = f"{into} SELECT {selected} FROM json_to_recordset(%s::json) AS new({source}) {_UNLESS_TAKEN}"  # noqa: S608
    inserted = 0
    for chunk in batched(jobs, _ROWS, strict=False):
        rows = [{field.column: getattr(job, field.attname) for field in own} for job in chunk]
        with connection.cursor() as cursor:
            cursor.execute(statement, [*values, json.dumps(rows, default=str, ensure_ascii=False)])
            inserted += cursor.rowcount
    return inserted


def _holders(values: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(values))


@cache
def _fields() -> tuple[Any, ...]:
    return tuple(Job._meta.concrete_fields)


def _quoted(name: str) -> str:
    return str(connection.ops.quote_name(name))


def _column(field: Any) -> str:
    return _quoted(field.column)


def _is_shared(jobs: Sequence[Job], name: str) -> bool:
    """Return whether all jobs have this value, as copies do. Of containers the same one: 1 and True within are equal."""
    first = getattr(jobs[0], name)
    is_plain = not isinstance(first, dict | list)
    return all(
        value is first or (is_plain and type(value) is type(first) and value == first)
        for value in (getattr(job, name) for job in jobs)
    )


def _prepared(job: Job, fields: Sequence[Any]) -> list[Any]:
    return [field.get_db_prep_save(getattr(job, field.attname), connection) for field in fields]
