"""Dramatiq: two processes with threads."""

from benchmarks.peers.servers import Servers
from benchmarks.peers.system import RESULTS, System

_GREENLETS_FROM = 100


def _command(slots: int) -> list[str]:
    program = "dramatiq-gevent" if slots >= _GREENLETS_FROM else "dramatiq"
    app = "benchmarks.peers.apps.dramatiq_app"
    return [program, app, "--processes", "2", "--threads", str(slots // 2)]


def _in_redis(servers: Servers) -> int:
    return int(servers.client(RESULTS).dbsize())


SYSTEMS = (
    System(
        name="dramatiq",
        app="dramatiq_app",
        command=_command,
        stored=_in_redis,
        slots={"": 16, "wait": 500},
        packages=("dramatiq", "redis"),
        settings="2 processes × 8 threads (waits: × 250 greenlets), results in Redis",
        note="result in Redis for ten minutes; late acks; no state, no timings",
    ),
)
