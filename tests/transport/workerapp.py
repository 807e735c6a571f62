"""The Celery application of the workers in these tests: the broker parts alone, without Django."""

import os
import time

from celery import Celery, concurrency

from poolwise.pools import POOL_CLASSES
from poolwise.transport import redis_transport

IS_STOCK = os.environ.get("TEST_STOCK") == "1"  # for comparing with Celery's own
if not IS_STOCK:
    redis_transport.install()
    concurrency.ALIASES.update(POOL_CLASSES)

app = Celery("workerapp", broker=os.environ.get("TEST_BROKER_URL"))
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=int(os.environ.get("TEST_PREFETCH", "1")),
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": float(os.environ.get("TEST_VISIBILITY_S", "30")),
        **({"priority_steps": [0]} if IS_STOCK else {}),
    },
    worker_hijack_root_logger=False,
)
if not IS_STOCK:
    app.conf.worker_consumer = "poolwise.transport.consumer:PoolConsumer"


def _note(text: str) -> None:
    with open(os.environ["TEST_WITNESS"], "a") as witness:
        witness.write(text + "\n")


@app.task
def nothing() -> None:
    """End at once."""


@app.task
def effect(key: int) -> None:
    """Leave one line in the witness file."""
    _note(f"start {key}")


@app.task
def wait(key: int, seconds: float) -> None:
    """Leave a line at the start, one with the worker's process, and one at the end."""
    _note(f"by {os.getsid(0)} {key}\nstart {key}")
    time.sleep(seconds)
    _note(f"end {key}")


@app.task
def compute(key: int, seconds: float) -> None:
    """Keep the core busy, and so the event loop."""
    _note(f"start {key}")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    _note(f"end {key}")
