"""Write many rows with one statement and without a model instance for each.

The ORM's own part of that takes several times as long as the statement: see `benchmarks/recording.py`.
"""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connections, models, router

type Row = Sequence[Any]


def update_rows(model: type[models.Model], names: Sequence[str], rows: Sequence[Row]) -> None:
    """Update rows that exist. Each has a value for each name, that of the primary key first."""
    if not rows:
        return
    table = _Table(model, names)
    key, *rest = table.columns
    if table.is_postgres:
        changes = ", ".join(f"{column} = new.{column}" for column in rest)
        new = f"FROM {table.source} WHERE old.{key} = new.{key}"
        table.execute(f"UPDATE {table.name} AS old SET {changes} {new}", rows)  # noqa: S608
    else:
        changes = ", ".join(f"{column} = %s" for column in rest)
        statement = f"UPDATE {table.name} SET {changes} WHERE {key} = %s"  # noqa: S608
        table.execute_each(statement, [[*row[1:], row[0]] for row in rows])


def upsert_rows(
    model: type[models.Model], names: Sequence[str], rows: Sequence[Row], *, unique: str, once: Sequence[str]
) -> None:
    """Insert rows; where one with the same value of the unique field exists, update all fields but those of `once`."""
    if not rows:
        return
    table = _Table(model, names)
    columns = ", ".join(table.columns)
    kept = {unique, *once}
    changed = [column for name, column in zip(names, table.columns, strict=True) if name not in kept]
    on_conflict = f"ON CONFLICT ({table.column(unique)}) DO UPDATE SET " + ", ".join(
        f"{column} = EXCLUDED.{column}" for column in changed
    )
    if table.is_postgres:
        selected = f"SELECT {columns} FROM {table.source}"  # noqa: S608
        table.execute(f"INSERT INTO {table.name} ({columns}) {selected} {on_conflict}", rows)
    else:
        values = ", ".join(["%s"] * len(table.columns))
        statement = f"INSERT INTO {table.name} ({columns}) VALUES ({values}) {on_conflict}"  # noqa: S608
        table.execute_each(statement, rows)


# The statements contain names of tables and columns alone; all values are parameters.
class _Table:
    """The columns of a statement: all rows in one JSON parameter on PostgreSQL, one execution a row on SQLite."""

    def __init__(self, model: type[models.Model], names: Sequence[str]) -> None:
        self._connection: Any = connections[router.db_for_write(model)]
        self._fields: list[Any] = [model._meta.get_field(name) for name in names]
        self._names = names
        self.is_postgres = self._connection.vendor == "postgresql"
        self.name = self._quote(model._meta.db_table)
        self.columns = [self._quote(field.column) for field in self._fields]

    def _quote(self, name: str | None) -> str:
        return str(self._connection.ops.quote_name(name))

    def column(self, name: str) -> str:
        """Return the quoted column of a field."""
        return self.columns[list(self._names).index(name)]

    @property
    def source(self) -> str:
        """Return the rows as a table `new`, for PostgreSQL."""
        typed = (
            f"{column} {field.db_type(self._connection)}"
            for column, field in zip(self.columns, self._fields, strict=True)
        )
        return f"json_to_recordset(%s::json) AS new({', '.join(typed)})"

    def execute(self, statement: str, rows: Sequence[Row]) -> None:
        """Execute a statement once for all rows."""
        keys = [field.column for field in self._fields]
        objects = [dict(zip(keys, row, strict=True)) for row in rows]
        with self._connection.cursor() as cursor:
            cursor.execute(statement, [json.dumps(objects, default=_as_text, ensure_ascii=False)])

    def execute_each(self, statement: str, rows: Sequence[Row]) -> None:
        """Execute a statement once for each row, prepared once."""
        with self._connection.cursor() as cursor:
            cursor.executemany(statement, [[self._adapted(value) for value in row] for row in rows])

    def _adapted(self, value: Any) -> Any:
        adapt = _ADAPTED.get(type(value))
        return value if adapt is None else adapt(self._connection, value)


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


#: How SQLite stores what it has no type for, as Django's fields do.
_ADAPTED: dict[type, Callable[[Any, Any], Any]] = {
    datetime: lambda connection, value: connection.ops.adapt_datetimefield_value(value),
    UUID: lambda _, value: value.hex,
    list: lambda _, value: json.dumps(value),
    dict: lambda _, value: json.dumps(value),
}
