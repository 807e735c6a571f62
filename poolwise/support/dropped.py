"""What was read from Redis and is not ours or does not fit: dropped, counted, and logged once a minute for each kind.

Anybody who reaches Redis can write there. So a log line per entry would let them fill the disk.
"""

import logging
import time

from poolwise.support.native_threads import native_lock

log = logging.getLogger(__name__)
_LOG_EVERY_S = 60.0
_lock = native_lock()
_counts: dict[str, int] = {}
#: By kind: when it was logged last, by the monotonic clock, and its count then.
_logged: dict[str, tuple[float, int]] = {}


def drop(kind: str, reason: object, about: object = "") -> None:
    """Count something of this kind that was dropped; `reason` and `about` are quoted and cut. Any thread may call it."""
    now = time.monotonic()
    with _lock:
        _counts[kind] = count = _counts.get(kind, 0) + 1
        last_mono, before = _logged.get(kind, (now - _LOG_EVERY_S, 0))
        if is_due := now - last_mono >= _LOG_EVERY_S:
            _logged[kind] = (now, count)
    if is_due:
        text = "dropped %s in Redis that does not fit: %.200r %.100r; %d since the last such line"
        log.error(text, kind, str(reason), about, count - before)


def total(kind: str = "") -> int:
    """Return how many this process has dropped, of one kind or of all."""
    with _lock:
        return _counts.get(kind, 0) if kind else sum(_counts.values())
