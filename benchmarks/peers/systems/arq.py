"""arq: two processes with coroutines."""

from benchmarks.peers.servers import Servers
from benchmarks.peers.system import System


def _command(_: int) -> list[str]:
    return ["arq", "benchmarks.peers.apps.arq_app.WorkerSettings"]


def _in_redis(servers: Servers) -> int:
    return sum(1 for _ in servers.client().scan_iter("arq:result:*", count=1000))


SYSTEMS = (
    System(
        name="arq",
        app="arq_app",
        venv="arq",
        command=_command,
        processes=lambda _: 2,
        stored=_in_redis,
        slots={"": 200, "wait": 500},
        packages=("arq", "redis"),
        settings="2 processes × 100 coroutines (waits: × 250), poll delay 50 ms",
        note="result and times in Redis for an hour; a job whose worker dies runs again",
    ),
)
