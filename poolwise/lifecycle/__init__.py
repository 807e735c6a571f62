"""The way of a job, from its submission to its record. Read these files in order:

1. `submission`: validate the parameters, insert the job, publish its message after the commit
2. `publishing`: send the messages, within a time budget in a web request, else from the coordinator
3. `messages`: sign a message when publishing, verify it when a worker receives it
4. `poolwise.worker.request`: a received message, claimed, run in its slot, reported, acknowledged
5. `execution`: one attempt in its slot; it touches neither Redis nor the database
6. `stream`: claims, and the Redis stream of reports, `started` and `ended`
7. `recorder`: write what the reports change into the database, exactly once; `folding` says what one changes

Beside them:

- before a job is stored: `pool_choice`, `precheck`, `back_pressure`, `deduplication`, `limit_support`, `environment`
- how it is stored: `storing`
- at the broker: `broker`, `commands`, `broker_queues`, `duplicate_deliveries`
- while jobs wait or run: `cancellation`, `pauses`, `heartbeats`

This file imports none of them: the watchdog of a worker needs `stream` and `heartbeats`, and loads no models.
"""

__all__ = [
    "back_pressure",
    "broker",
    "broker_queues",
    "cancellation",
    "commands",
    "environment",
    "execution",
    "folding",
    "heartbeats",
    "limit_support",
    "messages",
    "pauses",
    "pool_choice",
    "publishing",
    "recorder",
    "stream",
    "submission",
]
