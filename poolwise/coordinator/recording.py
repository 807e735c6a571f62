"""From the stream to the database: read a batch of reports, record it, then acknowledge it."""

import time
from collections.abc import Sequence
from itertools import batched

import structlog
from django.db import DatabaseError, DataError, IntegrityError

from poolwise.coordinator.hanging import pause_hanging
from poolwise.lifecycle import cancellation, recorder, stream
from poolwise.support import REDIS_ERRORS, worker_client

log = structlog.get_logger(__name__)
#: A larger batch needs hardly less CPU time per report, and more memory for good.
BATCH = 500
#: Entries of the stream in one read; a busy worker puts up to 64 reports into each.
_ENTRIES = 100
#: After this time, entries that another coordinator took and did not acknowledge are adopted.
_ADOPT_IDLE_MS = 5_000
#: Redis or the database is unavailable; the loop waits. A ResponseError is NOGROUP after Redis lost its data.
FAULTS = (*REDIS_ERRORS, DatabaseError)


def record_new(reader: stream.Reader, *, wait_ms: int = 100, gather_s: float = 0.0) -> int:
    """Record new entries, waiting up to `wait_ms` for one and `gather_s` for more; return how many."""
    raw = reader.read(count=_ENTRIES, block_ms=wait_ms)
    if gather_s and 0 < len(raw) < _ENTRIES:
        time.sleep(gather_s)
        raw += reader.read(count=_ENTRIES - len(raw), block_ms=0)
    return _record(reader, raw)


def record_pending(reader: stream.Reader) -> int:
    """Record entries that this reader took before a fault kept it from recording them; return how many."""
    return _record(reader, reader.pending(count=_ENTRIES))


def record_adopted(reader: stream.Reader) -> int:
    """Record entries that another reader took and did not acknowledge; return how many."""
    return _record(reader, reader.adopt(idle_ms=_ADOPT_IDLE_MS, count=_ENTRIES))


def _record(reader: stream.Reader, raw: list[tuple[str, str]]) -> int:
    if not raw:
        return 0
    entries = [entry for _, text in raw for entry in stream.decode_all(text)]
    for batch in batched(entries, BATCH, strict=False):
        try:
            _record_together(batch)
        except Exception as error:
            if is_temporary(error):
                raise
            for entry in batch:
                _record_or_drop(entry)
    reader.acknowledge([entry_id for entry_id, _ in raw])
    return max(len(entries), len(raw))  # an entry without a valid report counts too


def _record_together(entries: Sequence[stream.Entry]) -> None:
    recorded = recorder.record(entries)
    if recorded.stale or recorded.unknown:
        log.info("reports dropped", **recorded.counts())
    pause_hanging(recorded.ended)
    if recorded.unwanted:
        cancellation.stop_unwanted(worker_client(), recorded.unwanted)


def _record_or_drop(entry: stream.Entry) -> None:
    try:
        _record_together([entry])
    except Exception as error:
        if is_temporary(error):
            raise
        log.exception("cannot record a report; dropped", job=entry.job_id, error=str(error))


def is_temporary(error: Exception) -> bool:
    """Return whether Redis or the database is unavailable; else the cause is in one report, or a bug."""
    return isinstance(error, FAULTS) and not isinstance(error, DataError | IntegrityError)
