"""Fill a database of Poolwise with jobs that have ended: copies of one that is there, spread over the last 20 days."""

import psycopg
from psycopg import sql

_TABLES = {"poolwise_job": "id", "django_celery_results_taskresult": "task_id"}
_COLUMNS = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s"
_IDS = "CREATE TEMP TABLE new_ids AS SELECT gen_random_uuid() AS id, n FROM generate_series(1, %s) AS n"


def fill(url: str, rows: int) -> None:
    """Copy one ended job and its result so many times, each with an id and an earlier time of its own; PostgreSQL only."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_IDS, [rows])
        connection.execute(
            "CREATE TEMP TABLE old AS SELECT id FROM poolwise_job WHERE state = 'succeeded' LIMIT 1"
        )
        for table, key in _TABLES.items():
            columns: dict[str, str] = dict(connection.execute(_COLUMNS, [table]).fetchall())
            connection.execute(_copy(table, key, columns, rows))
        connection.execute("VACUUM ANALYZE")


def _copy(table: str, key: str, columns: dict[str, str], rows: int) -> sql.Composed:
    """Return the statement that copies the row of the old job; a number that the database gives is left to it."""
    names = [name for name, kind in columns.items() if name == key or (name, kind) != ("id", "integer")]
    step_s = 20 * 86_400 / rows
    return sql.SQL(
        "INSERT INTO {table} ({names}) SELECT {values} FROM {table} AS row, new_ids, old WHERE {match}"
    ).format(
        table=sql.Identifier(table),
        names=sql.SQL(", ").join(map(sql.Identifier, names)),
        values=sql.SQL(", ").join(_value(name, key, columns[name], step_s) for name in names),
        match=sql.SQL("row.{key}::text = old.id::text").format(key=sql.Identifier(key)),
    )


def _value(name: str, key: str, kind: str, step_s: float) -> sql.Composable:
    if name == key:
        return sql.SQL("new_ids.id" if kind == "uuid" else "new_ids.id::text")
    column = sql.SQL("row.{name}").format(name=sql.Identifier(name))
    if kind.startswith("timestamp"):
        return sql.SQL("{column} - new_ids.n * {step}").format(
            column=column, step=sql.SQL(f"interval '{step_s} s'")
        )
    return column
