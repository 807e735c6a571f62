"""RQ: a pool of workers that do not fork for each job."""

from benchmarks.peers.servers import Servers
from benchmarks.peers.system import System


def _command(slots: int) -> list[str]:
    worker = ["--worker-class", "rq.worker.SimpleWorker", "--logging-level", "ERROR"]
    return ["rq", "worker-pool", "--num-workers", str(slots), *worker, "default"]


def _in_redis(servers: Servers) -> int:
    return int(servers.client().zcard("rq:finished:default"))


SYSTEMS = (
    System(
        name="rq",
        app="rq_app",
        command=_command,
        stored=_in_redis,
        slots={"": 2, "wait": 16},
        packages=("rq", "redis"),
        settings="2 SimpleWorkers (waits: 16), which fork for no job",
        note="state, result and times in Redis for 500 s; a job whose worker dies counts as failed",
    ),
)
