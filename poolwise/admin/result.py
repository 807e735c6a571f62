"""Results of django-celery-results, whose own admin takes seconds at a million rows."""

import importlib
import json
from typing import Any

from celery import states
from django.contrib import admin
from django.db.models import QuerySet, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django_celery_results.models import GroupResult, TaskResult

from poolwise.admin.base import Viewer, state_label
from poolwise.admin.filters import Choices, ExactFilter
from poolwise.reports import SEARCH_LIMIT
from poolwise.support import as_uuid, pretty, storable

_LABEL_KINDS = {
    states.SUCCESS: "succeeded",
    states.FAILURE: "failed",
    states.REVOKED: "cancelled",
    states.STARTED: "running",
}
#: A longer value is cut off; the job's page offers all of it.
_SHOWN_CHARS = 20_000


class StatusFilter(ExactFilter):
    """Results of a Celery state."""

    title, parameter_name = f"status (newest {SEARCH_LIMIT:,})", "status"

    def queryset(self, request: HttpRequest, queryset: QuerySet[TaskResult]) -> QuerySet[TaskResult]:
        """Return the newest results with the status: sorting all of them by date would be slow."""
        if not self.value():
            return queryset
        newest = queryset.order_by("-date_done").values_list("date_done", flat=True)
        if edge := newest[SEARCH_LIMIT : SEARCH_LIMIT + 1].first():
            queryset = queryset.filter(date_done__gte=edge)
        # An expression, so that the database uses the index of dates and not the one of statuses.
        return queryset.alias(known_status=Coalesce("status", Value(""))).filter(known_status=self.value())

    def lookups(self, request: HttpRequest, model_admin: "admin.ModelAdmin[Any]") -> Choices:
        """Return the states that Poolwise records."""
        return [(state, state.capitalize()) for state in (*_LABEL_KINDS, states.RETRY)]


# Import it first: unregister needs its registration, whatever the order of the installed apps.
importlib.import_module("django_celery_results.admin")
# Groups are unused, and their admin has the same slow date hierarchy.
admin.site.unregister([TaskResult, GroupResult])


@admin.register(TaskResult)
class TaskResultAdmin(Viewer):
    """Results, newest first; each belongs to the job of the same id."""

    list_display = ("task_id", "task_name", "status_cell", "worker", "date_done")
    list_filter = (StatusFilter,)
    search_fields = ("task_id",)
    search_help_text = "The id of a job."
    fields = (
        *("task_id", "job", "task_name", "status", "worker", "date_started", "date_done"),
        *("parameters", "value", "traceback", "meta"),
    )

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Return newest first; the primary key settles ties within the index' order."""
        return ("-date_done", "-pk")

    def get_queryset(self, request: HttpRequest) -> QuerySet[TaskResult]:
        """Return the results without the columns that a list does not show."""
        results: QuerySet[TaskResult] = super().get_queryset(request)
        return results.defer("task_args", "task_kwargs", "result", "traceback", "meta")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[TaskResult], search_term: str
    ) -> tuple[QuerySet[TaskResult], bool]:
        """Return the result with that id; no index would help a search for anything else."""
        text = search_term.strip()
        pk = as_uuid(text)
        return (queryset.filter(task_id=str(pk) if pk else text) if text else queryset), False

    @admin.display(description="Status")
    def status_cell(self, result: TaskResult) -> str:
        """Return the state as a coloured label."""
        return state_label(_LABEL_KINDS.get(result.status, "queued"), result.status.capitalize())

    @admin.display(description="Job")
    def job(self, result: TaskResult) -> str:
        """Return a link to the job of the same id."""
        pk = as_uuid(result.task_id)  # a task that is no job of Poolwise may have any id
        if pk is None:
            return "–"
        return format_html('<a href="{}">{}</a>', reverse("poolwise:job", args=[pk]), "Open the job")

    @admin.display(description="Parameters")
    def parameters(self, result: TaskResult) -> str:
        """Return the arguments by name as indented JSON."""
        return _readable(result.task_kwargs)

    @admin.display(description="Result")
    def value(self, result: TaskResult) -> str:
        """Return the value, or the exception, as indented JSON."""
        return _readable(result.result)


def _readable(text: str | None) -> str:
    """Return stored JSON with letters in place of their escapes, cut off where a page would become slow."""
    try:
        text = pretty(json.loads(text or ""))
    except (ValueError, RecursionError):  # another backend's, or none
        text = text or "–"
    text = storable(text)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}\n… {len(text):,} characters"
