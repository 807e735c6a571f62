"""Buckets of time, counted by the database."""

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Func, IntegerField
from django.db.models.expressions import Combinable, Expression
from django.db.models.sql.compiler import SQLCompiler


class Epoch(Func):
    """A moment as whole POSIX seconds, on SQLite and PostgreSQL."""

    arity = 1
    output_field = IntegerField()

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        """Return SQL for SQLite, whose stored text is UTC."""
        template = "CAST(strftime('%%%%s', %(expressions)s) AS INTEGER)"
        return self.as_sql(compiler, connection, template=template, **context)

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        """Return SQL for PostgreSQL."""
        template = "CAST(FLOOR(EXTRACT(EPOCH FROM %(expressions)s)) AS BIGINT)"
        return self.as_sql(compiler, connection, template=template, **context)


def bucket_of(column: str, size_s: int) -> Combinable | Expression:
    """Return the number of the bucket of `size_s` seconds, counted from 1970, that the column falls in."""
    return Epoch(column) / size_s
