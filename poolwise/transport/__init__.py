"""A Redis transport for kombu that loses no message to a killed worker; it serves any Celery app.

Read `redis_transport` first, which puts the channel together: `unacked` has the Lua scripts, `fetching` takes messages,
`acks` acknowledges and restores them, `poller` waits for events, `clients` keeps connections. `consumer` is Celery's
consumer with steps of ours: `lease` renews reserved messages, `remote_control` serves commands.
"""

from poolwise.transport.consumer import PoolConsumer, copied
from poolwise.transport.redis_transport import Transport
from poolwise.transport.refused_messages import refuse

__all__ = [
    "PoolConsumer",
    "Transport",
    "copied",
    "redis_transport",
    "refuse",
    "refused_messages",
    "remote_control",
]
