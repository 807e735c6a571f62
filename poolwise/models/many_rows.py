"""Lock and write many rows with one statement and without a model instance for each.

The ORM's own part of that takes several times as long as the statement: see `benchmarks/recording.py`.
"""

import functools
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connections, models, router

type Row = Sequence[Any]


def lock_rows(
    model: type[models.Model], names: Sequence[str], keys: Iterable[UUID], *, as_text: Collection[str] = ()
) -> list[list[Any]]:
    """Lock the rows with these primary keys, which are UUIDs, and return the named fields of each, the key first.

    The values of the JSON fields in `as_text` are returned as text.
    """
    table = _table(model, tuple(names))
    columns, key = ", ".join(table.columns), table.columns[0]
    selected = f"SELECT {columns} FROM {table.name} WHERE {key}"  # noqa: S608
    # Ordered, so that two writers cannot deadlock.
    if table.is_postgres:
        text = f"{{{','.join(map(str, keys))}}}"
        return table.fetch(f"{selected} = ANY(%s::uuid[]) ORDER BY {key} FOR UPDATE", text, as_text)
    text = json.dumps([each.hex for each in keys])
    return table.fetch(f"{selected} IN (SELECT value FROM json_each(%s)) ORDER BY {key}", text, as_text)  # noqa: S608


def update_rows(model: type[models.Model], names: Sequence[str], rows: Sequence[Row]) -> None:
    """Update rows that exist. Each has a value for each name, that of the primary key first."""
    if not rows:
        return
    table = _table(model, tuple(names))
    key, *rest = table.columns
    if table.is_postgres:
        changes = ", ".join(f"{column} = new.{column}" for column in rest)
        new = f"FROM {table.given} WHERE old.{key} = new.{key}"
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
    table = _table(model, tuple(names))
    columns = ", ".join(table.columns)
    kept = {unique, *once}
    changed = [column for name, column in zip(names, table.columns, strict=True) if name not in kept]
    on_conflict = f"ON CONFLICT ({table.column(unique)}) DO UPDATE SET " + ", ".join(
        f"{column} = EXCLUDED.{column}" for column in changed
    )
    if table.is_postgres:
        selected = f"SELECT {columns} FROM {table.given}"  # noqa: S608
        table.execute(f"INSERT INTO {table.name} ({columns}) {selected} {on_conflict}", rows)
    else:
        values = ", ".join(["%s"] * len(table.columns))
        statement = f"INSERT INTO {table.name} ({columns}) VALUES ({values}) {on_conflict}"  # noqa: S608
        table.execute_each(statement, rows)


@functools.cache
def _table(model: type[models.Model], names: tuple[str, ...]) -> "_Table":
    return _Table(model, names)


# The statements contain names of tables and columns alone; all values are parameters.
class _Table:
    """The columns of a statement. All rows at once on PostgreSQL, one execution a row on SQLite."""

    def __init__(self, model: type[models.Model], names: Sequence[str]) -> None:
        self._alias, self._names = router.db_for_write(model), names
        self._fields: list[Any] = [model._meta.get_field(name) for name in names]
        self.is_postgres = self._connection.vendor == "postgresql"
        self.name = self._quote(model._meta.db_table)
        self.columns = [self._quote(field.column) for field in self._fields]
        self._converters = self._read_converters(model._meta.db_table)
        # Without a length: a cast to it would cut texts instead of raising an error.
        types = (field.db_type(self._connection).partition("(")[0] for field in self._fields)
        arrays = ", ".join(f"%s::{name}[]" for name in types)
        #: The rows as a table, for PostgreSQL.
        self.given = f"unnest({arrays}) AS new({', '.join(self.columns)})"

    @property
    def _connection(self) -> Any:
        return connections[self._alias]

    def _quote(self, name: str) -> str:
        return str(self._connection.ops.quote_name(name))

    def _read_converters(self, table: str) -> list[tuple[int, str, Any, list[Any]]]:
        columns = [field.get_col(table) for field in self._fields]
        return [
            (at, self._names[at], column, converters)
            for at, column in enumerate(columns)
            if (
                converters := self._connection.ops.get_db_converters(column)
                + column.get_db_converters(self._connection)
            )
        ]

    def column(self, name: str) -> str:
        """Return the quoted column of a field."""
        return self.columns[list(self._names).index(name)]

    def fetch(self, statement: str, keys: str, as_text: Collection[str]) -> list[list[Any]]:
        """Return the rows of a query with the keys as its only parameter, as Django's fields read them."""
        connection = self._connection
        with connection.cursor() as cursor:
            rows = [list(row) for row in cursor.execute(statement, [keys]).fetchall()]
        for at, name, column, converters in self._converters:
            for row in rows if name not in as_text else ():
                for convert in converters if row[at] is not None else ():
                    row[at] = convert(row[at], column, connection)
        return rows

    def execute(self, statement: str, rows: Sequence[Row]) -> None:
        """Execute a statement once for all rows: each column is one parameter."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, list(map(_as_array, zip(*rows, strict=True))))

    def execute_each(self, statement: str, rows: Sequence[Row]) -> None:
        """Execute a statement once for each row, prepared once."""
        connection = self._connection
        with connection.cursor() as cursor:
            cursor.executemany(statement, [[_adapted(connection, value) for value in row] for row in rows])


def _adapted(connection: Any, value: Any) -> Any:
    adapt = _ADAPTED.get(type(value))
    return value if adapt is None else adapt(connection, value)


def _as_array(values: Sequence[Any]) -> str:
    kinds = set(map(type, values))
    if kinds == {str}:
        quoted = '","'.join(values)
        if "\\" not in quoted and quoted.count('"') == 2 * len(values) - 2:
            return f'{{"{quoted}"}}'
    elif not any(issubclass(kind, _QUOTED) for kind in kinds):
        return f"{{{','.join(['NULL' if value is None else str(value) for value in values])}}}"
    return f"{{{','.join(map(_as_element, values))}}}"


#: Their texts may have characters that an array gives a meaning.
_QUOTED = (str, list, dict)


def _as_element(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list | dict):
        value = json.dumps(value)
    elif not isinstance(value, str):
        return str(value)
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


#: How SQLite stores what it has no type for, as Django's fields do.
_ADAPTED: dict[type, Callable[[Any, Any], Any]] = {
    datetime: lambda connection, value: connection.ops.adapt_datetimefield_value(value),
    UUID: lambda _, value: value.hex,
    list: lambda _, value: json.dumps(value),
    dict: lambda _, value: json.dumps(value),
}
