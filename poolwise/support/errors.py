"""Every error that Poolwise raises on purpose, as one tree."""

from collections.abc import Mapping
from typing import Any, ClassVar


class PoolwiseError(Exception):
    """Poolwise could not do what was asked."""

    def __init__(self, message: str = "") -> None:
        # Without a message, the docstring of the class is the message.
        super().__init__(message or (type(self).__doc__ or "").strip())


class BadDefinition(PoolwiseError):
    """A job definition is not valid."""


class BadPool(PoolwiseError):
    """A pool's configuration is not valid."""


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
    """The pool's queue is full; submit again later."""

    #: The HTTP status of the API's response.
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
    """This installation did not publish the message."""


class ResultRefused(PoolwiseError):
    """What the job returned cannot be stored."""


class BadBundle(PoolwiseError):
    """The file is not a valid result bundle."""
