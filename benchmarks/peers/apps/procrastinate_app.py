"""procrastinate, whose queue is in PostgreSQL."""

import asyncio
import os

from procrastinate import App, PsycopgConnector

from benchmarks.peers.bodies import COROUTINES, PARAMS

app = App(connector=PsycopgConnector(conninfo=os.environ["DATABASE_URL"], max_size=20))
TASKS = {name: app.task(name=name)(body) for name, body in COROUTINES.items()}
_AT_ONCE = 500


def enqueue(workload: str, jobs: int) -> None:
    """Submit jobs, 500 in a call."""
    asyncio.run(_enqueue(workload, jobs))


async def _enqueue(workload: str, jobs: int) -> None:
    async with app.open_async():
        for first in range(0, jobs, _AT_ONCE):
            count = min(_AT_ONCE, jobs - first)
            await TASKS[workload].batch_defer_async(*([PARAMS[workload]] * count))
