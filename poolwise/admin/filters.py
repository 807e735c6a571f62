"""Filters whose choices come from the code: none reads the table for its values."""

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest

from poolwise import definitions
from poolwise.models import JobState
from poolwise.reports import AGES, known_pools
from poolwise.support import is_storable

Choices = Iterable[tuple[str, str]]


class ExactFilter(SimpleListFilter):
    """Rows whose column equals the choice."""

    parameter_name: str

    def value(self) -> str | None:
        """Return the choice, None for text that the database cannot store; a pool or definition that is gone is a choice."""
        text = super().value()
        return text if text and is_storable(text) else None

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the choice, or all."""
        return queryset.filter(**{self.parameter_name: self.value()}) if self.value() else queryset


class _JobFilter(ExactFilter):
    """A filter of `reports.JobFilter`, which filters the list."""

    offer: Callable[[], Choices]

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> Choices:
        """Return the choices."""
        return type(self).offer()

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return all rows: `reports.list_jobs` filters them."""
        return queryset


def _job_filter(name: str, offer: Callable[[], Choices]) -> type[SimpleListFilter]:
    return type(
        f"{name.capitalize()}Filter", (_JobFilter,), {"title": name, "parameter_name": name, "offer": offer}
    )


def _named(names: Iterable[str]) -> Choices:
    return [(name, name) for name in names]


#: The filters of the job list; its pools are the declared ones and those that jobs still name.
JOB_FILTERS = (
    _job_filter("state", lambda: JobState.choices),
    _job_filter("pool", lambda: _named(known_pools())),
    _job_filter("age", lambda: [(key, title) for key, (title, _) in AGES.items()]),
    _job_filter("kind", lambda: _named(definitions.KINDS)),
    _job_filter(
        "definition", lambda: _named(definition.name for definition in definitions.all_definitions())
    ),
)
