"""What a pool can do with a job that runs, as its workers have tried it; what a submission asks for beyond that."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jobs import heartbeats
from jobs.definitions import Definition
from jobs.definitions.definition import default_time_limit_s
from jobs.errors import BrokerUnavailable
from jobs.pools import PoolSpec, get_pool
from jobs.pools.trials import (
    CALLS_C,
    CANCEL,
    COMPUTES,
    COROUTINE,
    DOINGS,
    ENDING,
    FUNCTION,
    HARD,
    HOLDS,
    MEMORY,
    NOT_HERE,
    SOFT,
    WAITS,
    YIELDS,
    key,
)

__all__ = ["CANCEL", "HARD", "HOLDS", "MEMORY", "SOFT", "Row", "by_pool", "matrix", "warnings", "words"]
#: The better first; a pool is as good as the worst of its workers.
_WORDS = (HOLDS, ENDING, YIELDS, NOT_HERE)
_DOINGS_OF_KIND = {"io": (WAITS,), "cpu": (COMPUTES,)}
_LABELS = {SOFT: "Soft time limit", HARD: "Time limit", CANCEL: "Cancel"}
_DOING_LABELS = {WAITS: "it waits", COMPUTES: "it computes", CALLS_C: "it is inside one call of C"}


def by_pool() -> dict[str, dict[str, str]]:
    """Return what the living workers of each pool found; empty while Redis is away."""
    try:
        up = heartbeats.pools_up()
    except BrokerUnavailable:
        return {}
    return {name: _worst(worker.guarantees for worker in workers) for name, workers in up.items()}


def _worst(found: Iterable[Mapping[str, str]]) -> dict[str, str]:
    together: dict[str, str] = {}
    for guarantees in found:
        for name, word in guarantees.items():
            if word in _WORDS:
                together[name] = max(together.get(name, word), word, key=_WORDS.index)
    return together


def words(guarantee: str, definition: Definition, pool: str, *, worker: str = "") -> list[str]:
    """Return what a guarantee comes to for each thing that a job of the definition may be at on the pool.

    By the given worker's trials, if it lives, else by its pool's; empty if none has told. Raise UnknownPool.
    """
    style = _style(definition, get_pool(pool))
    found = _of_worker(worker) or by_pool().get(pool, {})
    return _select(guarantee, definition, style, found)


def _select(guarantee: str, definition: Definition, style: str, found: Mapping[str, str]) -> list[str]:
    if guarantee == MEMORY:
        return [found[MEMORY]] if MEMORY in found else []
    doings = _DOINGS_OF_KIND.get(definition.kind, (WAITS, COMPUTES))
    return [word for doing in doings if (word := found.get(key(guarantee, style, doing)))]


def _style(definition: Definition, pool: PoolSpec) -> str:
    is_awaited = definition.is_async_only or (pool.model == "asyncio" and definition.async_body is not None)
    return COROUTINE if is_awaited else FUNCTION


def _of_worker(name: str) -> dict[str, str]:
    try:
        return _worst(worker.guarantees for worker in heartbeats.workers() if worker.name == name)
    except BrokerUnavailable:
        return {}


def warnings(
    definition: Definition, pool: str, found: Mapping[str, Mapping[str, str]] | None = None
) -> list[str]:
    """Return in words which declared limits of the definition do not simply hold on the pool. Raise UnknownPool."""
    told = (by_pool() if found is None else found).get(pool, {})
    style = _style(definition, get_pool(pool))
    is_declared = definition.time_limit_s != default_time_limit_s(definition.soft_time_limit_s)
    asked = {
        SOFT: ("soft time limit", definition.soft_time_limit_s),
        HARD: ("time limit", definition.time_limit_s if is_declared else None),
        MEMORY: ("memory limit", definition.memory_limit_bytes),
    }
    texts = []
    for guarantee, (name, limit) in asked.items():
        weak = sorted(set(_select(guarantee, definition, style, told)) - {HOLDS}, key=_WORDS.index)
        if limit is not None and weak:
            texts.append(f"The {name} of {definition.name} on {pool}: {_MEANINGS[weak[-1]]}")
    return texts


_MEANINGS = {
    ENDING: "a job that does not yield is ended with its worker, whose other jobs then run again.",
    YIELDS: "it reaches the job only when the job yields: at an await, a switch, or the end of a call.",
    NOT_HERE: "it is not kept there; submit to a pool of the model prefork.",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the matrix: a guarantee, what the job is at, and a pool's word each."""

    guarantee: str
    doing: str
    cells: tuple[str, ...]

    @property
    def label(self) -> str:
        """Return what the line is about, in words."""
        return f"{self.guarantee}, while {self.doing}" if self.doing else self.guarantee


def matrix(pools: Iterable[str], found: Mapping[str, Mapping[str, str]]) -> list[Row]:
    """Return the matrix of the pools: a cell says what both sorts of body have in common, or each."""
    names = list(pools)
    rows = [
        Row(
            label, _DOING_LABELS[doing], tuple(_cell(found.get(name, {}), guarantee, doing) for name in names)
        )
        for guarantee, label in _LABELS.items()
        for doing in DOINGS
    ]
    memory = tuple(found.get(name, {}).get(MEMORY, "unknown") for name in names)
    return [*rows, Row("Memory limit", "", memory)]


def _cell(found: Mapping[str, str], guarantee: str, doing: str) -> str:
    function, coroutine = (
        found.get(key(guarantee, style, doing), "unknown") for style in (FUNCTION, COROUTINE)
    )
    return function if function == coroutine else f"{function} (coroutine: {coroutine})"
