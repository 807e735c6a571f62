"""The odd jobs of the soak `--odd`, and how each has to end; independent of Poolwise."""

from collections.abc import Mapping

type Ending = tuple[str, str]  # state and type of the error
SUCCEEDED: Ending = ("succeeded", "")
LIMIT: Ending = ("failed", "TimeLimitExceeded")
LOST: Ending = ("failed", "WorkerLost")
EXIT: Ending = ("failed", "SystemExit")
#: What `odd.program_hangs` starts.
HANGING_PROGRAM = "sleep 601"
_POOLS = ("prefork", "threads", "gevent", "asyncio")


def _on_all(ending: Ending, **others: Ending) -> dict[str, Ending]:
    return {pool: others.get(pool, ending) for pool in _POOLS}


#: By definition in `drills.app.odd`, then by pool.
ODD: dict[str, Mapping[str, Ending]] = {
    "odd.forks": _on_all(SUCCEEDED),
    "odd.leaves_fork": _on_all(SUCCEEDED),
    "odd.uses_multiprocessing": _on_all(SUCCEEDED),
    "odd.runs_program": _on_all(SUCCEEDED),
    "odd.leaves_program": _on_all(SUCCEEDED),
    "odd.program_hangs": _on_all(LIMIT),
    "odd.waits": _on_all(LIMIT),
    "odd.computes": _on_all(LIMIT),
    "odd.matches": _on_all(LIMIT),
    "odd.blocks_loop": _on_all(LIMIT),
    "odd.leaks": _on_all(SUCCEEDED),
    "odd.leaks_in_coroutine": _on_all(SUCCEEDED),
    "odd.closes_connection": _on_all(SUCCEEDED),
    "odd.leaves_transaction": _on_all(SUCCEEDED),
    "odd.exits": _on_all(LOST),
    "odd.raises_exit": _on_all(EXIT),
    "odd.raises_exit_in_coroutine": _on_all(EXIT),
    "odd.kills_itself": _on_all(LOST),
    "odd.crashes": _on_all(LOST),
    "odd.exhausts_memory": _on_all(("failed", "MemoryError")),
    # Only there is a memory limit enforced.
    "odd.grows": _on_all(SUCCEEDED, prefork=("failed", "MemoryLimitExceeded")),
    "odd.out_of_memory": _on_all(LOST),
}


def right_ending(definition: str, pool: str) -> Ending:
    """Return how a job has to end; one that is not odd succeeds."""
    return ODD.get(definition, {}).get(pool, SUCCEEDED)
