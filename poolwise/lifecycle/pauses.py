"""Paused pools and definitions: rows in the database, and a copy in Redis that workers read.

The operator's actions write the copy, and so does every coordinator each second, in case Redis lost its data.
`stream.exchange` and `poolwise.worker.pause_watcher` read it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from poolwise.lifecycle.stream import pauses_key
from poolwise.models import JobQuerySet, Pause
from poolwise.support import Client, drop

#: A field that every copy has. Without it Redis has no copy, which does not mean that nothing is paused.
_WRITTEN = "written"


@dataclass(frozen=True, slots=True)
class Paused:
    """The paused pools and definitions: their state, by name."""

    pools: Mapping[str, str] = field(default_factory=dict)
    definitions: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Return whether anything is paused."""
        return bool(self.pools or self.definitions)

    def includes(self, pool: str, definition: str) -> bool:
        """Return whether jobs of this definition are paused on this pool."""
        return pool in self.pools or definition in self.definitions

    def reason(self, pool: str, definition: str) -> str:
        """Return in a sentence why such a job does not start now; empty if it may."""
        if state := self.pools.get(pool):
            return f"The pool {pool} is {state}: its jobs stay queued until somebody resumes it."
        if state := self.definitions.get(definition):
            return f"The definition {definition} is {state}: its jobs stay queued until somebody resumes it."
        return ""

    def without_paused(self, jobs: JobQuerySet) -> JobQuerySet:
        """Return the jobs that are not paused."""
        if self.pools:
            jobs = jobs.exclude(pool__in=list(self.pools))
        return jobs.exclude(definition__in=list(self.definitions)) if self.definitions else jobs


def paused_now() -> Paused:
    """Return what is paused, from the database."""
    return paused_of(Pause.objects.order_by().values_list("kind", "name", "state"))


def paused_of(rows: Iterable[tuple[str, str, str]]) -> Paused:
    """Return the pauses of rows with kind, name and state."""
    pools: dict[str, str] = {}
    definitions: dict[str, str] = {}
    for kind, name, state in rows:
        (pools if kind == Pause.Kind.POOL else definitions)[name] = state
    return Paused(pools, definitions)


def copy_database(client: Client) -> None:
    """Make the copy in Redis equal to the database. Raise the errors of redis-py and the database.

    If another process writes the copy after this one has read the database, it is read again: else a coordinator that
    read before a pause would undo it.
    """
    client.transaction(lambda pipe: _replace(pipe, paused_now()), pauses_key())


def write_copy(client: Client, paused: Paused) -> None:
    """Replace the copy in Redis in one step. Raise redis-py's errors."""
    with client.pipeline(transaction=True) as pipe:
        _replace(pipe, paused)
        pipe.execute()


def _replace(pipe: Any, paused: Paused) -> None:
    fields = {_WRITTEN: "1"}
    fields |= {f"pool:{name}": state for name, state in paused.pools.items()}
    fields |= {f"definition:{name}": state for name, state in paused.definitions.items()}
    pipe.multi()
    pipe.delete(pauses_key()).hset(pauses_key(), mapping=fields)


def read_copy(client: Client) -> Paused | None:
    """Return the copy in Redis, or None where there is none. Raise redis-py's errors."""
    fields = client.hgetall(pauses_key())
    if _WRITTEN not in fields:
        return None
    pools: dict[str, str] = {}
    definitions: dict[str, str] = {}
    for field_name, state in fields.items():
        kind, _, name = field_name.partition(":")
        if kind in Pause.Kind.values and state in Pause.State.values:
            (pools if kind == Pause.Kind.POOL else definitions)[name] = state
        elif field_name != _WRITTEN:
            drop("pause", "neither a pool nor a definition that is paused", field_name)
    return Paused(pools, definitions)
