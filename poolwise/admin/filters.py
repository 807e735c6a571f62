"""Filters whose choices come from the code: none reads the table for which values it holds."""

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
        """Return the choice; None for a text that no row can hold. What was once a pool or definition is a choice."""
        text = super().value()
        return text if text and is_storable(text) else None

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the choice, or all."""
        return queryset.filter(**{self.parameter_name: self.value()}) if self.value() else queryset


class _JobFilter(ExactFilter):
    """A filter of `reports.JobFilter`, which filters the list."""

    offer: Callable[[], Choices]

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> Choices:
        """Return what can be chosen."""
        return type(self).offer()

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return all."""
        return queryset


def _job_filter(name: str, offer: Callable[[], Choices]) -> type[SimpleListFilter]:
    return type(
        f"{name.capitalize()}Filter", (_JobFilter,), {"title": name, "parameter_name": name, "offer": offer}
    )


def _named(names: Iterable[str]) -> Choices:
    return [(name, name) for name in names]


#: The filters of the job list; the pools are those that the settings declare, and those that jobs ran or wait on.
JOB_FILTERS = (
    _job_filter("state", lambda: JobState.choices),
    _job_filter("pool", lambda: _named(known_pools())),
    _job_filter("age", lambda: [(key, title) for key, (title, _) in AGES.items()]),
    _job_filter("kind", lambda: _named(definitions.KINDS)),
    _job_filter("definition", lambda: _named(one.name for one in definitions.all_definitions())),
)
