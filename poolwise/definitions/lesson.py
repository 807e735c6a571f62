"""What the variants of a job show: a well-known mistake and its guards, worded with the figures that its jobs returned."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

type Result = Mapping[str, Any]
#: What the jobs of each variant returned, by the value of the parameter that chooses it.
type ByVariant = Mapping[Any, Sequence[Result]]


@dataclass(frozen=True)
class Lesson:
    """Given to `@job(lesson=…)`; commands, pages and comparisons then show what each variant did, and the lesson."""

    parameter: str
    """Chooses the mistake or one of its guards; each result repeats its value under the same name."""
    columns: Mapping[str, tuple[str, Callable[[Any], str]]]
    """Of the table of results: heading → the key of the figure, and how it reads."""
    sentences: Callable[[ByVariant], Sequence[str]]
    """Returns what the results of the variants that ran show."""
    models: Sequence[str] = ()
    """Concurrency models on which it shows; any process shows it where this is empty."""
