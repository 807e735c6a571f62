"""The list of jobs: quick at a million rows, since whatever no index serves looks at the newest jobs only."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.admin.views.main import ORDER_VAR, PAGE_VAR
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest

from jobs.admin.base import BoundedChangeList
from jobs.admin.filters import AgeFilter, until
from jobs.models import Job

#: Searches, and filters that no single index answers, look at so many of the newest jobs.
SEARCH_BOUND = 100_000
_INDEXED = {"state", "pool", "definition"}
_HARMLESS = {AgeFilter.parameter_name, PAGE_VAR, ORDER_VAR}


class JobList(BoundedChangeList):
    """A page of jobs, newest first."""

    is_bounded = False

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Job]:
        """Return the jobs that filters and search leave, of the newest ones where a bound is needed."""
        jobs: QuerySet[Job] = super().get_queryset(request, exclude_parameters)
        edge = self._edge(request) if self._needs_bound() else None
        self.is_bounded = edge is not None
        return jobs.filter(created_at__gte=edge) if edge else jobs

    def _needs_bound(self) -> bool:
        if self.query:
            return as_uuid(self.query) is None
        used = {name for name, values in self.get_filters_params().items() if any(values)} - _HARMLESS
        return len(used) > 1 or not used <= _INDEXED

    def _edge(self, request: HttpRequest) -> datetime | None:
        # One walk along the index of creation times, from where the age filter starts.
        jobs = self.root_queryset
        for spec in self.filter_specs:
            if isinstance(spec, AgeFilter):
                jobs = spec.queryset(request, jobs)
        newest = jobs.order_by("-created_at", "-id").values_list("created_at", flat=True)
        found: datetime | None = newest[SEARCH_BOUND : SEARCH_BOUND + 1].first()
        return found

    def get_results(self, request: HttpRequest) -> None:
        """Read the page, and say where the list goes on when its pages do not reach the end."""
        super().get_results(request)
        self.result_list = list(self.result_list)
        self.older = ""
        if self.is_capped and self.page_num == self.paginator.num_pages and self.result_list:
            at = until(self.result_list[-1].created_at)
            self.older = self.get_query_string({AgeFilter.parameter_name: at}, [PAGE_VAR])


def search(jobs: QuerySet[Job], text: str) -> QuerySet[Job]:
    """Return the jobs of an id, or whose definition begins with the text, or whose parameters hold it."""
    text = text.strip()
    if not text:
        return jobs
    if pk := as_uuid(text):
        return jobs.filter(pk=pk)
    # SQLite keeps JSON as it was written, with \u escapes; PostgreSQL decodes it.
    holds = Q(params_text__icontains=text) | Q(params_text__icontains=json.dumps(text)[1:-1])
    return jobs.alias(params_text=Cast("params", TextField())).filter(Q(definition__startswith=text) | holds)


def as_uuid(text: str) -> UUID | None:
    """Return the text as a job's id, or None."""
    try:
        return UUID(text.strip())
    except ValueError:
        return None
