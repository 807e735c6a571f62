"""Judge answers: right, wrong or undecided, and how many of each are required."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.answers.cases import Case

type Judgement = Literal["right", "wrong", "undecided"]
MAX_SECONDS = 30.0
REQUIRED_SHARE = 0.95
_ALLOWED_WRONG_SHARE = 0.05


@dataclass(frozen=True)
class Run:
    """One comparison of a case: the answer of `compare --json`, and how long it measured."""

    case: Case
    answer: dict[str, Any]
    measured_s: float

    @property
    def candidates(self) -> set[str]:
        """Return the pools that may be the best by the answer."""
        return {one["name"] for one in self.answer["standings"] if one["role"] in ("best", "candidate")}

    @property
    def judgement(self) -> Judgement:
        """Return whether the answer is right.

        A settled answer is right if it names a best pool; an open one if it leaves two pools or fewer with a best one
        among them, or none but best ones. One that excludes every best pool, or lacks the words of the case, is wrong.
        """
        best, left = self.case.best, self.candidates
        if self.answer["state"] == "none":
            return "undecided"
        if self.case.says not in self.answer["text"]:
            return "wrong"
        if self.answer["state"] == "settled":
            return "right" if self.answer["pool"] in best else "wrong"
        if not left & best:
            return "wrong"
        return "right" if len(left) <= 2 or left <= best else "undecided"

    @property
    def is_in_time(self) -> bool:
        """Return whether it answered within the budget."""
        return self.answer["state"] != "none" and self.measured_s <= MAX_SECONDS


def shares(runs: Sequence[Run]) -> dict[str, float]:
    """Return the shares of runs that answered in time, and that were right and wrong."""
    counted = {
        "in time": sum(run.is_in_time for run in runs),
        "right": sum(run.judgement == "right" for run in runs),
        "wrong": sum(run.judgement == "wrong" for run in runs),
    }
    return {name: count / len(runs) for name, count in counted.items()}


def passes(runs: Sequence[Run], *, busy: bool) -> bool:
    """Return whether the shares suffice; beside a busy core, an answer may be undecided."""
    share = shares(runs)
    if busy:
        return share["wrong"] <= _ALLOWED_WRONG_SHARE
    return share["in time"] >= REQUIRED_SHARE and share["right"] >= REQUIRED_SHARE
