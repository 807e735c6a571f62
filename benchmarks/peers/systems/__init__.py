"""Every system that is measured, by its name."""

from collections.abc import Mapping, Sequence

from benchmarks.peers.system import System
from benchmarks.peers.systems import (
    arq,
    celery,
    django_q2,
    django_tasks_db,
    dramatiq,
    huey,
    poolwise,
    procrastinate,
    rq,
    taskiq,
)

_MODULES = (poolwise, celery, dramatiq, huey, rq, taskiq, arq, procrastinate, django_q2, django_tasks_db)

SYSTEMS: Mapping[str, System] = {system.name: system for module in _MODULES for system in module.SYSTEMS}


def chosen(names: Sequence[str]) -> list[System]:
    """Return the systems whose names are these or begin with one of them and a dash. Raise ValueError for an unknown one."""
    if unknown := [name for name in names if not _matching(name)]:
        raise ValueError(f"unknown: {', '.join(unknown)}; known: {', '.join(SYSTEMS)}")
    return list({system.name: system for name in names for system in _matching(name)}.values())


def _matching(wanted: str) -> list[System]:
    return [system for name, system in SYSTEMS.items() if name == wanted or name.startswith(f"{wanted}-")]
