"""Whether time limits, memory limits and cancelling work for a job of a definition on a pool, and the warnings."""

from collections.abc import Iterable
from dataclasses import dataclass

from poolwise.definitions import Definition, default_time_limit_s
from poolwise.pools import get_pool, limits

#: Best first.
_ORDER = tuple(limits.Support)
_ACTIVITIES_OF_KIND = {"io": (limits.WAITS,), "cpu": (limits.COMPUTES,)}
_LABELS = {limits.SOFT: "Soft time limit", limits.HARD: "Time limit", limits.CANCEL: "Cancel"}
_ACTIVITY_LABELS = {
    limits.WAITS: "it waits",
    limits.COMPUTES: "it computes",
    limits.CALLS_C: "it is inside a C call",
}


def can_cancel(definition: Definition, pool: str) -> bool:
    """Return whether a running job of the definition may be stopped from outside. Raise UnknownPool."""
    return limits.Support.ENFORCED in _support(limits.CANCEL, definition, pool)


def _support(limit: str, definition: Definition, pool: str) -> set[limits.Support]:
    """Return how the pool supports the limit while the job does what its kind does: wait, compute or both."""
    model = get_pool(pool).model
    if limit == limits.MEMORY:
        return {limits.memory_support(model)}
    is_awaited = definition.is_async_only or (model == "asyncio" and definition.async_body is not None)
    style = limits.COROUTINE if is_awaited else limits.FUNCTION
    activities = _ACTIVITIES_OF_KIND.get(definition.kind, (limits.WAITS, limits.COMPUTES))
    return {limits.support(model, limit, style, activity) for activity in activities}


def warnings(definition: Definition, pool: str) -> list[str]:
    """Return a sentence for each declared limit that the pool does not simply enforce. Raise UnknownPool."""
    is_declared = definition.time_limit_s != default_time_limit_s(definition.soft_time_limit_s)
    asked = {
        limits.SOFT: ("soft time limit", definition.soft_time_limit_s),
        limits.HARD: ("time limit", definition.time_limit_s if is_declared else None),
        limits.MEMORY: ("memory limit", definition.memory_limit_bytes),
    }
    worst = {limit: max(_support(limit, definition, pool), key=_ORDER.index) for limit in asked}
    return [
        f"The {name} of {definition.name} on {pool}: {_MEANINGS[worst[limit]]}"
        for limit, (name, value) in asked.items()
        if value is not None and worst[limit] is not limits.Support.ENFORCED
    ]


_MEANINGS = {
    limits.Support.RESTARTS: "a job that does not yield is ended with its worker, whose other jobs then run again.",
    limits.Support.AT_NEXT_YIELD: "it reaches the job only when the job yields: at an await, "
    "a switch, or the end of a call.",
    limits.Support.NONE: "it is not enforced there; submit to a pool of the model prefork.",
}


@dataclass(frozen=True, slots=True)
class LimitRow:
    """A row of the table: a limit, what the job does meanwhile, and a cell per pool."""

    limit: str
    activity: str
    cells: tuple[str, ...]

    @property
    def label(self) -> str:
        """Return the heading of the row."""
        return f"{self.limit}, while {self.activity}" if self.activity else self.limit


def matrix(models: Iterable[str]) -> list[LimitRow]:
    """Return the table for pools of these models; a cell names functions and coroutines apart if they differ."""
    columns = list(models)
    rows = [
        LimitRow(label, _ACTIVITY_LABELS[activity], tuple(_cell(model, limit, activity) for model in columns))
        for limit, label in _LABELS.items()
        for activity in limits.ACTIVITIES
    ]
    return [*rows, LimitRow("Memory limit", "", tuple(limits.memory_support(model) for model in columns))]


def _cell(model: str, limit: str, activity: str) -> str:
    function, coroutine = (
        limits.support(model, limit, style, activity) for style in (limits.FUNCTION, limits.COROUTINE)
    )
    return function if function == coroutine else f"{function} (coroutine: {coroutine})"
