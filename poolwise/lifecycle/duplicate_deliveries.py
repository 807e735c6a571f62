"""Attempts that may have a message already when they are published: their claims are kept until the last one has come."""

from collections.abc import Iterable, Sequence

import structlog

from poolwise.lifecycle.stream import expect_duplicates
from poolwise.models import Job
from poolwise.support import REDIS_ERRORS, worker_client

log = structlog.get_logger(__name__)
#: By a write whose outcome this process does not know, or by another process that did not come to say so.
_perhaps_sent: set[tuple[str, int]] = set()


def _attempts(jobs: Iterable[Job]) -> list[tuple[str, int]]:
    return [(str(job.pk), job.attempt) for job in jobs]


def suspect_duplicates(jobs: Iterable[Job]) -> None:
    """Take these for perhaps published from now on."""
    _perhaps_sent.update(_attempts(jobs))


def clear_duplicates(jobs: Iterable[Job]) -> None:
    """Take these for published as often as is known."""
    _perhaps_sent.difference_update(_attempts(jobs))


def prepare_for_duplicates(jobs: Sequence[Job]) -> bool:
    """Prepare for second messages of these jobs where there may be any; return False while Redis cannot be told."""
    attempts = _perhaps_sent.intersection(_attempts(jobs))
    try:
        if attempts:
            expect_duplicates(worker_client(), attempts)
    except REDIS_ERRORS as error:
        log.warning("nothing is published while Redis cannot be told of doubles", error=str(error))
        return False
    return True
