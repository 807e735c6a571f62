"""Figures of each bucket of time in one statement: each bucket is a range of one index, whatever the statistics say."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.db.models import Model

#: How a database makes JSON of values, and of rows.
_JSON = {
    "sqlite": ("json_array({})", "json_group_array({})"),
    "postgresql": ("json_build_array({})", "json_agg({})"),
}


def aggregates(
    model: type[Model], bucket_s: int, buckets: range, select: str, where: str, *values: Any
) -> Mapping[int, Any]:
    """Return for each bucket that has rows its aggregates as a list; `where` has a mark for each value."""
    array, _ = _JSON[connection.vendor]
    return _read(bucket_s, buckets, f"SELECT {array.format(select)} FROM {_within(model, where)}", *values)  # noqa: S608


def newest(
    model: type[Model],
    bucket_s: int,
    buckets: range,
    columns: Sequence[str],
    where: str,
    *values: Any,
    limit: int,
) -> Mapping[int, Any]:
    """Return for each bucket a list of its newest rows by `finished_at`, at most `limit`."""
    array, rows = _JSON[connection.vendor]
    names = ", ".join(columns)
    within = f"SELECT {names} FROM {_within(model, where)} ORDER BY finished_at DESC LIMIT {limit}"  # noqa: S608
    return _read(
        bucket_s,
        buckets,
        f"SELECT {rows.format(array.format(names))} FROM ({within}) AS newest",  # noqa: S608
        *values,
    )


def _within(model: type[Model], where: str) -> str:
    return f"{connection.ops.quote_name(model._meta.db_table)} WHERE {where}"


# The statements contain our own names alone; all values are parameters.
def _read(bucket_s: int, buckets: range, figures: str, *values: Any) -> dict[int, Any]:
    if not buckets:
        return {}
    kind = "timestamptz" if connection.vendor == "postgresql" else "text"
    moments = f"(%s, CAST(%s AS {kind}), CAST(%s AS {kind}))"
    bounds = [(number, _stored(number * bucket_s), _stored((number + 1) * bucket_s)) for number in buckets]
    statement = (
        f"WITH bucket (number, since, until) AS (VALUES {', '.join([moments] * len(bounds))}) "  # noqa: S608
        f"SELECT number, CAST(({figures}) AS text) FROM bucket"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [*(value for bound in bounds for value in bound), *values])
        return {number: json.loads(text) for number, text in cursor.fetchall() if text}


def _stored(stamp: int) -> Any:
    return connection.ops.adapt_datetimefield_value(datetime.fromtimestamp(stamp, UTC))
