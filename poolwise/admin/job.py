"""Jobs in the admin: the list of `reports`, with actions; the details are on the job's page."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from pydantic import ValidationError

from poolwise.admin import actions
from poolwise.admin.base import LongList, PageViewer, state_label
from poolwise.admin.filters import JOB_FILTERS
from poolwise.models import Job
from poolwise.reports import JobFilter, Page, list_jobs, ready_waits, timeline
from poolwise.reports import JobList as Listed
from poolwise.support import percent, seconds


class JobList(LongList):
    """The jobs that `reports.list_jobs` returns for the filters and the search."""

    listed: Listed

    def get_filters(self, request: HttpRequest) -> Any:
        """Return the filters. Raise IncorrectLookupParameters for any other lookup: no index might answer it."""
        filters = super().get_filters(request)
        if filters[2]:
            raise IncorrectLookupParameters
        return filters

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Job]:
        """Return the jobs that match the filters and the search."""
        jobs: Any = super().get_queryset(request, exclude_parameters)
        specs: Any = self.filter_specs
        values: dict[str, Any] = {spec.parameter_name: spec.value() or "" for spec in specs}
        try:
            chosen = JobFilter(**values, q=self.query, owner="all")
        except ValidationError as error:
            raise IncorrectLookupParameters from error
        self.listed = list_jobs(request.user, chosen, jobs)  # type: ignore[arg-type]
        self.cut_to = self.listed.cut_to
        return self.listed.jobs

    def read_page(self, keys: dict[str, str], moment: str) -> Page[Job]:
        """Return the page that the cursor asks for, by the index of its first filter."""
        return self.listed.page(keys)


@admin.register(Job)
class JobAdmin(PageViewer):
    """Jobs, newest first."""

    changelist = JobList
    list_display = ("definition", "state_cell", "pool", "user", "created", "wait", "run", "cpu_share")
    list_display_links = ("definition",)
    list_filter = JOB_FILTERS
    list_select_related = ("user",)
    search_fields = ("definition",)
    search_help_text = "An id, the beginning of a definition's name, or text in the parameters."
    ordering = ("-created_at", "-id")
    actions = (actions.run_again, actions.cancel, actions.export_csv, actions.export_json)
    fields = ("id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        """Return the jobs without the columns that a list does not show."""
        jobs: QuerySet[Job] = super().get_queryset(request)
        return jobs.defer("params", "history", "error")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Job], search_term: str
    ) -> tuple[QuerySet[Job], bool]:
        """Return all: `reports.list_jobs` searches."""
        return queryset, False

    def has_submit_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may run jobs again."""
        return request.user.has_perm("poolwise.submit_job")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may cancel any job."""
        return request.user.has_perm("poolwise.cancel_job")

    @admin.display(description="State")
    def state_cell(self, job: Job) -> str:
        """Return the state as a coloured label."""
        return state_label(job.state, job.get_state_display())

    @admin.display(description="Created")
    def created(self, job: Job) -> str:
        """Return when the job was submitted."""
        local = timezone.localtime(job.created_at)
        return f"{local:%H:%M:%S}" if local.date() == timezone.localdate() else f"{local:%d %b %H:%M}"

    @admin.display(description="Wait")
    def wait(self, job: Job) -> str:
        """Return the time from published to started."""
        return seconds(timeline.wait_s(job))

    @admin.display(description="Run")
    def run(self, job: Job) -> str:
        """Return the time from started to finished."""
        return seconds(job.run_s)

    @admin.display(description="On CPU")
    def cpu_share(self, job: Job) -> str:
        """Return the part of the run that was spent on a core, and what kept the job from one."""
        return ", ".join([percent(timeline.cpu_share(job)), *ready_waits(job)])
