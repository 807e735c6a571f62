"""Pages of a list by cursor: without OFFSET or an unbounded count, so that a long history costs nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet

from poolwise.reports.lead import Lead
from poolwise.support import InvalidParameters

PAGE_SIZE = 50
#: Rows are counted up to this bound.
COUNT_LIMIT = 5_000
NEWEST = Lead()
_NO_CURSOR = "Not a cursor: use `older` or `newer` of a response unchanged."
#: A row's position in its list: its time and its primary key.
_Key = tuple[datetime, Any]


@dataclass(frozen=True, slots=True)
class Page[Row: Model]:
    """One page of a list, newest first, and the cursors of its neighbours."""

    rows: list[Row]
    newer: str | None = None
    older: str | None = None
    is_first: bool = True


def bounded_count(rows: QuerySet[Any]) -> int:
    """Return the number of rows, COUNT_LIMIT if there may be more."""
    # Without their order, which could keep the database from using the best index.
    return rows.order_by()[:COUNT_LIMIT].count()


def page_of[Row: Model](
    rows: QuerySet[Row],
    keys: Mapping[str, Any],
    *,
    lead: Lead = NEWEST,
    strict: bool = False,
) -> Page[Row]:
    """Return the page after the cursor `before` (older rows) or before the cursor `after` (newer ones), else the first.

    The rows come newest first, in the order of `lead` and then by primary key. With `strict`, raise InvalidParameters for
    an invalid cursor: with the first page instead, a program that follows the cursors would loop.
    """
    before, after = (_parse(rows, str(keys.get(name, ""))) for name in ("before", "after"))
    if strict:
        _refuse_bad(keys, before=before, after=after)
    if after:
        newer_rows = list(lead.after(rows, *after).reverse()[: PAGE_SIZE + 1])
        if len(newer_rows) > PAGE_SIZE:
            shown = newer_rows[PAGE_SIZE - 1 :: -1]
            return Page(
                shown, _cursor(shown[0], lead.moment), _cursor(shown[-1], lead.moment), is_first=False
            )
        before = None  # fewer than a page: show the first page
    rows = lead.before(rows, *before) if before else lead.all(rows)
    shown = list(rows[: PAGE_SIZE + 1])
    has_older, shown = len(shown) > PAGE_SIZE, shown[:PAGE_SIZE]
    return Page(
        shown,
        newer=_cursor(shown[0], lead.moment) if before and shown else None,
        older=_cursor(shown[-1], lead.moment) if has_older else None,
        is_first=not before,
    )


def _refuse_bad(keys: Mapping[str, Any], **parsed: _Key | None) -> None:
    if bad := [name for name, key in parsed.items() if keys.get(name) and key is None]:
        raise InvalidParameters(dict.fromkeys(bad, _NO_CURSOR))


def _cursor(row: Model, moment: str) -> str:
    # Z, not +00:00: a plus sign that is not escaped in a URL means a space.
    at: datetime = getattr(row, moment)
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat()}Z_{getattr(row.pk, 'hex', row.pk)}"


def _parse(rows: QuerySet[Any], cursor: str) -> _Key | None:
    stamp, _, pk = cursor.partition("_")
    try:
        at = datetime.fromisoformat(stamp)
        # Convert to UTC here: no database takes a time before the year 1 or after 9999 in UTC.
        return (at.astimezone(UTC), rows.model._meta.pk.to_python(pk)) if at.tzinfo else None
    except (ValueError, OverflowError, ValidationError):
        return None
