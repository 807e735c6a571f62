"""The pages. Everything that changes a job goes through `submission`."""

from jobs.views.catalogue import catalogue, pools
from jobs.views.definition import definition
from jobs.views.job import cancel, job, result, run_again
from jobs.views.jobs import jobs
from jobs.views.site import favicon, healthz

__all__ = [
    "cancel",
    "catalogue",
    "definition",
    "favicon",
    "healthz",
    "job",
    "jobs",
    "pools",
    "result",
    "run_again",
]
