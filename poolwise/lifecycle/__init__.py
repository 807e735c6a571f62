"""The way of a job."""

from poolwise.lifecycle.pauses.redis_copy import read_copy

__all__ = [
    "back_pressure",
    "broker_queues",
    "cancellation",
    "environment",
    "execution",
    "heartbeats",
    "limit_support",
    "messages",
    "pauses",
    "pool_choice",
    "publishing",
    "read_copy",
    "recorder",
    "stream",
    "submission",
]
