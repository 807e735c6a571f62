"""procrastinate: queue and outcomes in PostgreSQL, two processes with coroutines."""

from benchmarks.peers.system import System

_APP = "benchmarks.peers.apps.procrastinate_app.app"


def _command(slots: int) -> list[str]:
    return ["procrastinate", f"--app={_APP}", "worker", "--concurrency", str(slots // 2)]


SYSTEMS = (
    System(
        name="procrastinate",
        app="procrastinate_app",
        command=_command,
        processes=lambda _: 2,
        stored=("procrastinate", "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"),
        slots={"": 20, "wait": 500},
        packages=("procrastinate", "psycopg"),
        prepare=[["procrastinate", f"--app={_APP}", "schema", "--apply"]],
        settings="2 processes × 10 coroutines (waits: × 250), 20 connections each",
        note="state and events with times in the database, no result; a job whose worker dies is left to the project",
        only="postgres",
    ),
)
