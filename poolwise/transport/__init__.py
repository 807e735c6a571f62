"""Our Redis transport for kombu. Serves any Celery app: no Django model, no definition."""

from poolwise.transport.consumer import PoolConsumer
from poolwise.transport.redis_transport import Transport
from poolwise.transport.refused_messages import refuse

__all__ = [
    "PoolConsumer",
    "Transport",
    "redis_transport",
    "refuse",
    "refused_messages",
]
