"""Export jobs as CSV or JSON, streamed so that memory does not grow with their number."""

import csv
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone

from poolwise.models import Job
from poolwise.support import shown

#: The most jobs that one export holds, the newest of those chosen.
EXPORT_LIMIT = 100_000
_USER = f"user__{get_user_model().USERNAME_FIELD}"
_COLUMNS = (
    *("id", "definition", "kind", "pool", "state", _USER, "created_at", "run_after"),
    *("published_at", "received_at", "started_at", "finished_at", "recorded_at"),
    *("broker_wait_s", "worker_wait_s", "run_s", "cpu_s", "off_cpu_s", "record_lag_s"),
    *("attempt", "max_attempts", "payload_bytes", "result_bytes"),
    *("worker", "pid", "thread", "greenlet_or_task", "offloaded", "error_type", "error"),
    *("request_id", "parent_id", "batch_id", "params"),
)
_NAMES = {_USER: "user", "run_after": "due_at"}
_TITLES = tuple(_NAMES.get(column, column) for column in _COLUMNS)
#: A spreadsheet reads a cell that begins with one of these as a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


class _Echo:
    """A file whose `write` returns its argument."""

    def write(self, text: str) -> str:
        """Return the text."""
        return text


def as_csv(jobs: QuerySet[Job]) -> StreamingHttpResponse:
    """Answer with the jobs as CSV, safe to open in a spreadsheet."""
    return _answer(_csv_lines(_rows(jobs)), "text/csv; charset=utf-8", "csv")


def as_json(jobs: QuerySet[Job]) -> StreamingHttpResponse:
    """Answer with the jobs as one JSON list of objects."""
    return _answer(_json_lines(_rows(jobs)), "application/json", "json")


def _rows(jobs: QuerySet[Job]) -> Iterator[tuple[Any, ...]]:
    for row in jobs.values_list(*_COLUMNS)[:EXPORT_LIMIT].iterator(chunk_size=2_000):
        yield (*row[:-1], {name: shown(value) for name, value in row[-1].items()})


def _csv_lines(rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(_TITLES)
    for row in rows:
        yield writer.writerow([_cell(value) for value in row])


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value


def _json_lines(rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    yield "["
    for number, row in enumerate(rows):
        yield ",\n" if number else "\n"
        yield json.dumps(dict(zip(_TITLES, row, strict=True)), default=_plain, ensure_ascii=False)
    yield "\n]\n"


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _answer(lines: Iterator[str], content_type: str, suffix: str) -> StreamingHttpResponse:
    name = f"jobs-{timezone.now():%Y%m%d-%H%M%S}.{suffix}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(lines, content_type=content_type, headers=headers)
