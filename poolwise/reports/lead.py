"""The part of an index that a list reads: one value of its first column, by time.

A condition on a row of columns, `(state, created_at) < ('failed', …)`, starts in the middle of an index and fits no
other. With `state = 'failed'` the order would be that of all jobs, and a database may read that index instead: for a
state without recent jobs PostgreSQL scanned millions of newer ones, and SQLite chose by whether ANALYZE had run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import BooleanField, F, Func, QuerySet, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import GreaterThan, GreaterThanOrEqual, LessThan


@dataclass(frozen=True, slots=True)
class Lead:
    """The rows with one value in one column, or all rows, by time; of an index on (column, time).

    `since` leaves out the older ones. Each method sets one bound to each side: of two, SQLite takes the first.
    """

    column: str = ""
    value: Any = None
    moment: str = "created_at"
    since: datetime | None = None

    @property
    def order(self) -> tuple[str, ...]:
        """Return the order of the list, newest first."""
        return (f"-{self.column}", f"-{self.moment}") if self.column else (f"-{self.moment}",)

    def all[Rows: QuerySet[Any]](self, rows: Rows) -> Rows:
        """Return all rows of the list."""
        return self._from_oldest(self._to_newest(rows))

    def before[Rows: QuerySet[Any]](self, rows: Rows, at: datetime, pk: Any) -> Rows:
        """Return the rows that are older than one, by its time and primary key."""
        return self._from_oldest(rows.filter(self._beyond(LessThan, at, pk)))

    def after[Rows: QuerySet[Any]](self, rows: Rows, at: datetime, pk: Any) -> Rows:
        """Return the rows that are newer than one."""
        return self._to_newest(rows.filter(self._beyond(GreaterThan, max(at, self.since or at), pk)))

    def _from_oldest[Rows: QuerySet[Any]](self, rows: Rows) -> Rows:
        if self.since is None:
            return rows.filter(**{f"{self.column}__gte": self.value}) if self.column else rows
        if not self.column:
            return rows.filter(**{f"{self.moment}__gte": self.since})
        return rows.filter(_compared(GreaterThanOrEqual, {self.column: self.value, self.moment: self.since}))

    def _to_newest[Rows: QuerySet[Any]](self, rows: Rows) -> Rows:
        return rows.filter(**{f"{self.column}__lte": self.value}) if self.column else rows

    def _beyond(self, lookup: type[LessThan | GreaterThan], at: datetime, pk: Any) -> Any:
        own = {self.column: self.value} if self.column else {}
        return _compared(lookup, {**own, self.moment: at, "pk": pk})


def only[Rows: QuerySet[Any]](rows: Rows, values: Mapping[str, Any]) -> Rows:
    """Return the rows with these values of other columns, as expressions, so that no index but the list's own fits."""
    blank = {name: 0 if isinstance(value, int) else "" for name, value in values.items()}
    hidden = {f"only_{name}": Coalesce(name, Value(blank[name])) for name in values}
    return rows.alias(**hidden).filter(**{f"only_{name}": value for name, value in values.items()})


def _compared(lookup: Any, values: Mapping[str, Any]) -> Any:
    columns, bounds = (
        Func(*parts, template="(%(expressions)s)", output_field=BooleanField())
        for parts in (map(F, values), map(Value, values.values()))
    )
    return lookup(columns, bounds)
