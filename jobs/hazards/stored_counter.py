"""The counter as a row of the database: saved after reading, or incremented with F()."""

import time
from collections.abc import Callable
from functools import partial
from uuid import uuid4

from django.apps import apps
from django.db import connection, connections
from django.db.models import F, QuerySet

from jobs.hazards.together import pause, together

_PREFIX = "hazard-"
_LEFT_BEHIND_AFTER_S = 3600


def count(guard: str, pauses: list[list[float]]) -> int:
    """Increment a row's counter once for each pause, in one thread for each list; return its last value.

    `save` writes what it read plus one, `f` adds in the database. Each thread uses its own connection.
    """
    row = _new_row()
    increment = {"save": _save, "f": _add}[guard]
    try:
        together([partial(_in_thread, row, increment, mine) for mine in pauses])
        return int(row().get().count)
    finally:
        row().delete()
        # The connection of a greenlet would stay open after it.
        if not connection.in_atomic_block:
            connection.close()


type Row = Callable[[], "QuerySet"]  # type: ignore[type-arg]


def _new_row() -> Row:
    # The table of chords of django-celery-results holds named counters, and Poolwise has no chords.
    table = apps.get_model("django_celery_results", "ChordCounter").objects
    now = int(time.time())
    before = f"{_PREFIX}{now - _LEFT_BEHIND_AFTER_S}"
    table.filter(group_id__startswith=_PREFIX, group_id__lt=before).delete()  # left by killed workers
    name = f"{_PREFIX}{now}-{uuid4().hex}"
    table.create(group_id=name, sub_tasks="[]", count=0)
    return lambda: table.filter(group_id=name)


def _save(row: Row, pause_s: float) -> None:
    seen = row().get().count
    pause(pause_s)
    row().update(count=seen + 1)


def _add(row: Row, pause_s: float) -> None:
    pause(pause_s)
    row().update(count=F("count") + 1)


def _in_thread(row: Row, increment: Callable[[Row, float], None], pauses: list[float]) -> None:
    try:
        for pause_s in pauses:
            increment(row, pause_s)
            pause(pause_s)
    finally:
        connections.close_all()
