"""What a worker process does beside its jobs."""

__all__ = [
    "request",
]
