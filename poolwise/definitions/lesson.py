"""The lesson of a job: a common mistake and its fixes, explained with the figures that its jobs returned."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

type Result = Mapping[str, Any]
#: The results of each variant, by the value of the parameter that chooses it.
type ByVariant = Mapping[Any, Sequence[Result]]


@dataclass(frozen=True)
class Lesson:
    """Given to `@job(lesson=…)`: pages, comparisons and `manage.py hazard` show the results and the sentences."""

    parameter: str
    """The name of the parameter that chooses the variant; each result repeats its value under this name."""
    columns: Mapping[str, tuple[str, Callable[[Any], str]]]
    """The table of results: heading → the key of the figure in a result, and a function that formats it."""
    sentences: Callable[[ByVariant], Sequence[str]]
    """Explains the results of the variants that ran."""
    models: Sequence[str] = ()
    """Concurrency models that show the mistake; empty: any process does."""
