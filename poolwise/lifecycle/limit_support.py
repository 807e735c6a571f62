"""What a pool's limits and cancelling do to a job of a definition; what a submission is warned of."""

from collections.abc import Iterable
from dataclasses import dataclass

from poolwise.definitions import Definition
from poolwise.definitions.definition import default_time_limit_s
from poolwise.pools import get_pool
from poolwise.pools.limits import (
    ACTIVITIES,
    CALLS_C,
    CANCEL,
    COMPUTES,
    COROUTINE,
    FUNCTION,
    HARD,
    MEMORY,
    SOFT,
    WAITS,
    Support,
    memory_support,
    support,
)

#: The better first.
_ORDER = tuple(Support)
_ACTIVITIES_OF_KIND = {"io": (WAITS,), "cpu": (COMPUTES,)}
_LABELS = {SOFT: "Soft time limit", HARD: "Time limit", CANCEL: "Cancel"}
_ACTIVITY_LABELS = {WAITS: "it waits", COMPUTES: "it computes", CALLS_C: "it is inside one call of C"}


def can_cancel(definition: Definition, pool: str) -> bool:
    """Return whether a running job of the definition may be stopped from outside. Raise UnknownPool."""
    return Support.ENFORCED in _support(CANCEL, definition, pool)


def _support(limit: str, definition: Definition, pool: str) -> set[Support]:
    """Return what the limit does to the job in each state that its kind can be in."""
    model = get_pool(pool).model
    if limit == MEMORY:
        return {memory_support(model)}
    is_awaited = definition.is_async_only or (model == "asyncio" and definition.async_body is not None)
    style = COROUTINE if is_awaited else FUNCTION
    activities = _ACTIVITIES_OF_KIND.get(definition.kind, (WAITS, COMPUTES))
    return {support(model, limit, style, activity) for activity in activities}


def warnings(definition: Definition, pool: str) -> list[str]:
    """Return a sentence for each declared limit that the pool does not simply enforce. Raise UnknownPool."""
    is_declared = definition.time_limit_s != default_time_limit_s(definition.soft_time_limit_s)
    asked = {
        SOFT: ("soft time limit", definition.soft_time_limit_s),
        HARD: ("time limit", definition.time_limit_s if is_declared else None),
        MEMORY: ("memory limit", definition.memory_limit_bytes),
    }
    worst = {limit: max(_support(limit, definition, pool), key=_ORDER.index) for limit in asked}
    return [
        f"The {name} of {definition.name} on {pool}: {_MEANINGS[worst[limit]]}"
        for limit, (name, value) in asked.items()
        if value is not None and worst[limit] is not Support.ENFORCED
    ]


_MEANINGS = {
    Support.RESTARTS: "a job that does not yield is ended with its worker, whose other jobs then run again.",
    Support.AT_NEXT_YIELD: "it reaches the job only when the job yields: at an await, a switch, or the end of a call.",
    Support.NONE: "it is not enforced there; submit to a pool of the model prefork.",
}


@dataclass(frozen=True, slots=True)
class LimitRow:
    """One line of the table: a limit, what the job is doing, and a cell for each pool."""

    limit: str
    activity: str
    cells: tuple[str, ...]

    @property
    def label(self) -> str:
        """Return what the line is about, in words."""
        return f"{self.limit}, while {self.activity}" if self.activity else self.limit


def matrix(models: Iterable[str]) -> list[LimitRow]:
    """Return the table for pools of these models: a cell says what functions and coroutines share, or each."""
    columns = list(models)
    rows = [
        LimitRow(label, _ACTIVITY_LABELS[activity], tuple(_cell(model, limit, activity) for model in columns))
        for limit, label in _LABELS.items()
        for activity in ACTIVITIES
    ]
    return [*rows, LimitRow("Memory limit", "", tuple(memory_support(model) for model in columns))]


def _cell(model: str, limit: str, activity: str) -> str:
    function, coroutine = (support(model, limit, style, activity) for style in (FUNCTION, COROUTINE))
    return function if function == coroutine else f"{function} (coroutine: {coroutine})"
