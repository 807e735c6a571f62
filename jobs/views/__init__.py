"""The pages. Everything that changes a job goes through `submission`."""

from jobs.views.catalogue import catalogue, pools
from jobs.views.comparison_files import comparison_bundle, comparison_chart
from jobs.views.comparisons import cancel_comparison, comparison, comparisons
from jobs.views.definition import definition
from jobs.views.faults import nowhere, server_error
from jobs.views.job import CANCEL_LEVELS, cancel, job, result, run_again
from jobs.views.jobs import jobs
from jobs.views.new_comparison import estimate, new_comparison
from jobs.views.site import favicon, healthz

__all__ = [
    "CANCEL_LEVELS",
    "cancel",
    "cancel_comparison",
    "catalogue",
    "comparison",
    "comparison_bundle",
    "comparison_chart",
    "comparisons",
    "definition",
    "estimate",
    "favicon",
    "healthz",
    "job",
    "jobs",
    "new_comparison",
    "nowhere",
    "pools",
    "result",
    "run_again",
    "server_error",
]
