"""Attempts whose message may be at the broker already when they are published.

Their claims in Redis are kept for long, so that no message of theirs runs a second time, however late it comes.
"""

from collections.abc import Iterable, Sequence

import structlog

from poolwise.lifecycle.stream import expect_duplicates
from poolwise.models import Job
from poolwise.support import REDIS_ERRORS, worker_client

log = structlog.get_logger(__name__)
#: Sent with an unknown result by this process, or perhaps sent by another one that ended before it noted it.
_perhaps_sent: set[tuple[str, int]] = set()


def _attempts(jobs: Iterable[Job]) -> list[tuple[str, int]]:
    return [(str(job.pk), job.attempt) for job in jobs]


def suspect_duplicates(jobs: Iterable[Job]) -> None:
    """Note that messages of these jobs may have been sent."""
    _perhaps_sent.update(_attempts(jobs))


def clear_duplicates(jobs: Iterable[Job]) -> None:
    """Note that it is known how often these jobs were published."""
    _perhaps_sent.difference_update(_attempts(jobs))


def prepare_for_duplicates(jobs: Sequence[Job]) -> bool:
    """Mark those of these jobs in Redis that may have a second message; return False while Redis is unavailable."""
    attempts = _perhaps_sent.intersection(_attempts(jobs))
    try:
        if attempts:
            expect_duplicates(worker_client(), attempts)
    except REDIS_ERRORS as error:
        log.warning(
            "cannot mark possible duplicates in Redis; publishing nothing meanwhile", error=str(error)
        )
        return False
    return True
