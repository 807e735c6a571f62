"""Poolwise: background jobs on four kinds of Celery pool, timed alike. The names below are all that a project needs."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poolwise.definitions import AttemptContext, JobTask, Lesson, Secret, job
    from poolwise.lifecycle.submission import (
        CancelOutcome,
        cancel,
        get_job,
        get_result,
        run_again,
        submit,
        submit_many,
    )
    from poolwise.models import Job
    from poolwise.support.errors import (
        BadDefinition,
        InvalidParameters,
        PoolwiseError,
        QueueFull,
        Unavailable,
        UnderWay,
        UnknownDefinition,
        UnknownJob,
        UnknownPool,
        UserLimitReached,
    )

__all__ = [
    "AttemptContext",
    "BadDefinition",
    "CancelOutcome",
    "InvalidParameters",
    "Job",
    "JobTask",
    "Lesson",
    "PoolwiseError",
    "QueueFull",
    "Secret",
    "Unavailable",
    "UnderWay",
    "UnknownDefinition",
    "UnknownJob",
    "UnknownPool",
    "UserLimitReached",
    "cancel",
    "get_job",
    "get_result",
    "job",
    "run_again",
    "submit",
    "submit_many",
]

# One thread for each NumPy product: its CPU time then is the job's own, and jobs do not compete for the cores.
# BLAS reads it once, when NumPy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_HOMES = {
    "poolwise.definitions": ("AttemptContext", "JobTask", "Lesson", "Secret", "job"),
    "poolwise.models": ("Job",),
    "poolwise.lifecycle.submission": (
        *("CancelOutcome", "cancel", "get_job", "get_result", "run_again", "submit", "submit_many"),
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: Django imports this package before it can import models."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME_OF.get(name, "poolwise.support.errors")), name)
