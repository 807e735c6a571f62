"""The part of an index that a list reads: one value of its first column, by time.

A condition on a row of columns, `(state, created_at) < ('failed', …)`, starts in the middle of an index and fits no
other. With `state = 'failed'` the order would be that of all jobs, and a database may read that index instead: for a
state without recent jobs PostgreSQL scanned millions of newer ones, and SQLite chose by whether ANALYZE had run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import BooleanField, F, Func, Q, QuerySet, Value
from django.db.models.expressions import Combinable, CombinedExpression


@dataclass(frozen=True, slots=True)
class Lead:
    """The column that a list is filtered by, and its value; of an index on (column, time). Without a column all rows."""

    column: str = ""
    value: Any = None

    def order(self, moment: str) -> tuple[str, ...]:
        """Return the order of the list, newest first."""
        return (f"-{self.column}", f"-{moment}") if self.column else (f"-{moment}",)

    def since[Rows: QuerySet[Any]](self, rows: Rows, moment: str, since: Any) -> Rows:
        """Return the rows with the value, since a time, None for all."""
        if not self.column:
            return rows.filter(**{f"{moment}__gte": since}) if since else rows
        rows = rows.filter(**{f"{self.column}__lte": self.value})
        if since is None:
            return rows.filter(**{f"{self.column}__gte": self.value})
        return rows.filter(_compared({self.column: self.value, moment: since}, ">="))

    def beyond(self, way: str, moment: str, at: Any, pk: Any) -> Q | Combinable:
        """Return the condition of the rows before (`lt`) or after (`gt`) one, by its time and primary key."""
        if self.column:
            return _compared({self.column: self.value, moment: at, "pk": pk}, {"lt": "<", "gt": ">"}[way])
        # The first condition lets the database start in the middle of the index.
        return Q(**{f"{moment}__{way}e": at}) & (Q(**{f"{moment}__{way}": at}) | Q(**{f"pk__{way}": pk}))


ALL = Lead()


def _compared(values: Mapping[str, Any], operator: str) -> CombinedExpression:
    template = "(%(expressions)s)"
    columns = Func(*map(F, values), template=template, output_field=BooleanField())
    bounds = Func(*map(Value, values.values()), template=template, output_field=BooleanField())
    return CombinedExpression(columns, operator, bounds, output_field=BooleanField())
