"""The truth about what is switched off: rows of `Switch`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from poolwise.models import JobQuerySet, Pause


@dataclass(frozen=True, slots=True)
class Paused:
    """The states of pools and definitions that begin no jobs, by name."""

    pools: Mapping[str, str] = field(default_factory=dict)
    definitions: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Return whether anything is held."""
        return bool(self.pools or self.definitions)

    def includes(self, pool: str, definition: str) -> bool:
        """Return whether a job of this definition does not begin on this pool now."""
        return pool in self.pools or definition in self.definitions

    def reason(self, pool: str, definition: str) -> str:
        """Return in a sentence why such a job does not begin now; empty if it does."""
        if state := self.pools.get(pool):
            return f"The pool {pool} is {state}: its jobs stay queued until somebody resumes it."
        if state := self.definitions.get(definition):
            return f"The definition {definition} is {state}: its jobs stay queued until somebody resumes it."
        return ""

    def without_paused(self, jobs: JobQuerySet) -> JobQuerySet:
        """Return the jobs that are free to begin."""
        if self.pools:
            jobs = jobs.exclude(pool__in=list(self.pools))
        return jobs.exclude(definition__in=list(self.definitions)) if self.definitions else jobs


def paused_now() -> Paused:
    """Return what the ledger says is switched off."""
    pools: dict[str, str] = {}
    definitions: dict[str, str] = {}
    for kind, name, state in Pause.objects.order_by().values_list("kind", "name", "state"):
        (pools if kind == Pause.Kind.POOL else definitions)[name] = state
    return Paused(pools, definitions)
