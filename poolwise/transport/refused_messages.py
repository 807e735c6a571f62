"""Log each message that this worker refuses from its queue, and count them for its heartbeat."""

import itertools
from typing import Any

from kombu.log import get_logger

logger = get_logger(__name__)
_refused = itertools.count()
_total = 0


def refuse(reason: str, about: Any = "") -> None:
    """Log and count one dropped message; `about` is quoted and cut, since anybody may have written it."""
    global _total
    _total = next(_refused) + 1
    logger.error("refused a message and dropped it: %s %.120r", reason, about)


def total() -> int:
    """Return how many messages this process has refused. Any thread may call it."""
    return _total
