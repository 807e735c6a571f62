"""Taskiq: two processes with coroutines."""

from benchmarks.peers.servers import Servers
from benchmarks.peers.system import RESULTS, System


def _command(slots: int) -> list[str]:
    options = ["--workers", "2", "--max-async-tasks", str(slots // 2), "--log-level", "ERROR"]
    return ["taskiq", "worker", "benchmarks.peers.apps.taskiq_app:broker", *options]


def _in_redis(servers: Servers) -> int:
    return int(servers.client(RESULTS).dbsize())


SYSTEMS = (
    System(
        name="taskiq",
        app="taskiq_app",
        command=_command,
        stored=_in_redis,
        slots={"": 200, "wait": 500},
        packages=("taskiq", "taskiq-redis", "redis", "uvloop", "orjson"),
        settings="2 processes × 100 coroutines (waits: × 250), list in Redis, uvloop, orjson",
        note="result and run time in Redis for an hour; at most once: a list has no acknowledgements",
    ),
)
