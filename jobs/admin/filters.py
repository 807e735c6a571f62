"""Filters whose choices come from the code: none reads the table for which values it holds."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from jobs import definitions
from jobs.formats import is_storable
from jobs.models import State
from jobs.reports import known_pools

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


class StateFilter(ExactFilter):
    """Jobs of a state."""

    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> Choices:
        """Return the states."""
        return State.choices


class PoolFilter(ExactFilter):
    """Jobs of a pool."""

    title, parameter_name = "pool", "pool"

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> Choices:
        """Return the pools that the settings declare, and those that jobs ran or wait on besides."""
        return [(name, name) for name in known_pools()]


class DefinitionFilter(ExactFilter):
    """Jobs of a definition."""

    title, parameter_name = "definition", "definition"

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> Choices:
        """Return the registered definitions."""
        return [(found.name, found.name) for found in definitions.all_definitions()]


class KindFilter(ExactFilter):
    """Jobs of a kind."""

    title, parameter_name = "kind", "kind"

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> Choices:
        """Return the kinds."""
        return [(kind, kind) for kind in definitions.KINDS]


class AgeFilter(SimpleListFilter):
    """Jobs by when they were created; `before-<POSIX seconds>` is where a list that hit its bound goes on."""

    title, parameter_name = "age", "age"
    _SPANS = {
        "1h": ("Last hour", timedelta(hours=1)),
        "24h": ("Last 24 hours", timedelta(hours=24)),
        "7d": ("Last 7 days", timedelta(days=7)),
        "30d": ("Last 30 days", timedelta(days=30)),
    }

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> Choices:
        """Return the spans, and the moment that the list goes on from."""
        choices = [(key, title) for key, (title, _) in self._SPANS.items()]
        moment = _moment(self.value())
        return [*choices, (str(self.value()), f"Until {moment:%d %b %Y, %H:%M:%S}")] if moment else choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the choice, or all."""
        value = self.value()
        if value in self._SPANS:
            return queryset.filter(created_at__gte=timezone.now() - self._SPANS[value][1])
        moment = _moment(value)
        return queryset.filter(created_at__lte=moment) if moment else queryset


def until(moment: datetime) -> str:
    """Return the value of the age filter for the jobs created at a moment or before it."""
    return f"before-{moment.timestamp():.6f}"


def _moment(value: str | None) -> datetime | None:
    try:
        return datetime.fromtimestamp(float((value or "").removeprefix("before-")), UTC)
    except (ValueError, OverflowError, OSError):
        return None
