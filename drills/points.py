"""The names of the crash points, in the order of a job's way."""

import functools

#: In a prefork child: end the worker's main process, too.
WHOLE_WORKER = "worker"

SUBMITTER = ("before the commit", "after the commit, before publishing", "after publishing, before noting it")
WORKER = (
    "before the claim", "after the claim", "before the effect", "after the effect", "before the stream entry",
    "after the stream entry", "before the acknowledgement", "after the acknowledgement",
)  # fmt: skip
#: Those of them that a prefork child reaches: its worker claims and reports.
WORKER_CHILD = ("before the effect", "after the effect")
COORDINATOR = (
    "before the recorder's commit", "after the recorder's commit", "before the stream's acknowledgement",
    "after the stream's acknowledgement",
)  # fmt: skip


@functools.cache
def file_name(point: str, pool: str) -> str:
    """Return what the files of an armed point are called."""
    return f"{point}@{pool}"
