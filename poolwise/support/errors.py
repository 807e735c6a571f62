"""Every error that Poolwise raises on purpose, as one tree."""

from collections.abc import Mapping
from typing import Any, ClassVar


class PoolwiseError(Exception):
    """Poolwise could not do what was asked."""

    def __init__(self, message: str = "") -> None:
        # The class docstring is the one authoritative sentence when nothing more is known.
        super().__init__(message or (type(self).__doc__ or "").strip())


class BadDefinition(PoolwiseError):
    """A job definition is declared wrongly."""


class BadPool(PoolwiseError):
    """A pool is configured wrongly."""


class UnknownDefinition(PoolwiseError):
    """No job definition has this name."""


class UnknownJob(PoolwiseError):
    """No job has this id."""


class UnknownPool(PoolwiseError):
    """No pool has this name."""


class InvalidParameters(PoolwiseError):
    """The parameters do not fit the definition."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        self.errors = dict(errors)
        super().__init__("; ".join(f"{field}: {text}" for field, text in self.errors.items()))


class Unavailable(PoolwiseError):
    """The definition cannot run in this installation."""


class UnderWay(PoolwiseError):
    """A job of this definition with these parameters is under way; submit again once it has ended."""


class QueueFull(PoolwiseError):
    """The pool's queue is at its bound; submit again later."""

    #: The HTTP status that says so.
    status: ClassVar[int] = 503

    def __init__(self, message: str = "", *, retry_after_s: int = 10, queue: Any = None) -> None:
        super().__init__(message)
        self.retry_after_s, self.queue = retry_after_s, queue


class UserLimitReached(QueueFull):
    """One user's jobs fill their share of the queues; submit again later."""

    status = 429


class BrokerUnavailable(PoolwiseError):
    """Redis does not answer; try again when it is back."""


class RefusedMessage(PoolwiseError):
    """The message in the broker is none that this installation published."""


class ResultRefused(PoolwiseError):
    """What the job returned cannot be stored."""


class BadBundle(PoolwiseError):
    """The file is no result bundle that can be trusted."""
