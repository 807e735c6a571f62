"""What this worker refused to take from its queue: logged each time, and counted for its sign of life."""

import itertools
from typing import Any

from kombu.log import get_logger

logger = get_logger(__name__)
_refused = itertools.count()
_total = 0


def refuse(reason: str, about: Any = "") -> None:
    """Log and count one message that is dropped; what the message says of itself is cut and quoted."""
    global _total
    _total = next(_refused) + 1
    logger.error("refused a message and dropped it: %s %.120r", reason, about)


def total() -> int:
    """Return how many messages this process has refused. Any thread may call it."""
    return _total
