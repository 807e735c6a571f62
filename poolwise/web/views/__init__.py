"""The views of the pages; all changes go through `lifecycle.submission`, `lab` and `control`."""

from poolwise.web.views.catalogue import catalogue, pools
from poolwise.web.views.comparison_files import comparison_bundle, comparison_chart, comparison_report
from poolwise.web.views.comparisons import cancel_comparison, comparison, comparisons
from poolwise.web.views.definition import definition
from poolwise.web.views.faults import GONE, IDEMPOTENCY_KEY, nowhere, server_error, what_is_known
from poolwise.web.views.health import favicon, healthz
from poolwise.web.views.job import cancel, job, result, run_again
from poolwise.web.views.jobs import jobs
from poolwise.web.views.new_comparison import disturbances, estimate, new_comparison

__all__ = [
    "GONE",
    "IDEMPOTENCY_KEY",
    "cancel",
    "cancel_comparison",
    "catalogue",
    "comparison",
    "comparison_bundle",
    "comparison_chart",
    "comparison_report",
    "comparisons",
    "definition",
    "disturbances",
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
    "what_is_known",
]
