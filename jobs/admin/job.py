"""Jobs in the admin: a viewer, with actions."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django_celery_results.models import TaskResult

from jobs import timeline
from jobs.admin import actions, filters
from jobs.admin.base import Viewer, badge, pretty
from jobs.admin.joblist import JobList, search
from jobs.formats import percent, seconds, shown
from jobs.models import Job

#: A longer result or traceback is shown in part.
_SHOWN_CHARS = 20_000
_MOMENTS = ("created", "published", "received", "started", "finished", "recorded")


@admin.register(Job)
class JobAdmin(Viewer):
    """The ledger's jobs, newest first."""

    list_display = ("definition", "state_badge", "pool", "user", "created", "wait", "run", "cpu_share")
    list_display_links = ("definition",)
    list_filter = (
        filters.StateFilter,
        filters.PoolFilter,
        filters.AgeFilter,
        filters.KindFilter,
        filters.DefinitionFilter,
    )
    list_select_related = ("user",)
    search_fields = ("definition",)
    search_help_text = "An id, the beginning of a definition's name, or text in the parameters."
    ordering = ("-created_at", "-id")
    actions = (actions.run_again, actions.cancel, actions.export_csv, actions.export_json)
    fields = ("id",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list that stays quick."""
        return JobList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        """Return the jobs without the columns that a list does not show."""
        jobs: QuerySet[Job] = super().get_queryset(request)
        return jobs.defer("params", "history", "error")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Job], search_term: str
    ) -> tuple[QuerySet[Job], bool]:
        """Return what the search leaves; never with duplicates."""
        return search(queryset, search_term), False

    def has_submit_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may run jobs again."""
        return request.user.has_perm("jobs.submit_job")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may cancel any job."""
        return request.user.has_perm("jobs.cancel_job")

    def details(self, request: HttpRequest, row: Job) -> dict[str, Any]:
        """Return all that is known of one job."""
        return _details(row)

    @admin.display(description="State")
    def state_badge(self, job: Job) -> str:
        """Return the state as a coloured word."""
        return badge(job.state, job.get_state_display())

    @admin.display(description="Created")
    def created(self, job: Job) -> str:
        """Return when the job was submitted."""
        local = timezone.localtime(job.created_at)
        return f"{local:%H:%M:%S}" if local.date() == timezone.localdate() else f"{local:%d %b %H:%M}"

    @admin.display(description="Wait")
    def wait(self, job: Job) -> str:
        """Return the time from published to started."""
        return seconds(None if job.worker_wait_s is None else (job.broker_wait_s or 0.0) + job.worker_wait_s)

    @admin.display(description="Run")
    def run(self, job: Job) -> str:
        """Return the time from started to finished."""
        return seconds(job.run_s)

    @admin.display(description="On CPU")
    def cpu_share(self, job: Job) -> str:
        """Return the part of the run that was spent on a core."""
        return percent(timeline.cpu_share(job))


def _moment(job: Job, at: datetime | None) -> str:
    if at is None:
        return "–"
    local, created = timezone.localtime(at), timezone.localtime(job.created_at)
    day = "" if local.date() == created.date() else f"{local:%d %b} "
    return f"{day}{local:%H:%M:%S}.{local.microsecond // 1000:03}"


def _moments(job: Job) -> list[tuple[str, str]]:
    found = [(name.capitalize(), _moment(job, getattr(job, f"{name}_at"))) for name in _MOMENTS]
    return [found[0], ("Scheduled for", _moment(job, job.run_after)), *found[1:]] if job.run_after else found


def _details(job: Job) -> dict[str, Any]:
    outcome = TaskResult.objects.filter(task_id=str(job.pk)).first()
    return {
        "pieces": timeline.pieces(timeline.timings_of(job)),
        "total_s": timeline.total_s(job),
        "cpu_share": timeline.cpu_share(job),
        "params": pretty({name: shown(value) for name, value in job.params.items()}),
        "moments": _moments(job),
        "outcome": outcome,
        "result": pretty(outcome.result or "")[:_SHOWN_CHARS] if outcome else "",
        "traceback": (outcome.traceback or "")[-_SHOWN_CHARS:] if outcome else "",
        "logs": list(job.logs.all()),
        "reruns": list(job.reruns.only("pk", "definition", "pool", "state")[:10]),
    }
