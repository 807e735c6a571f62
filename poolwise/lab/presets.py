"""Presets: how long a comparison measures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Preset:
    """A time budget, or copies and rounds; and whether warm-up and calibration run before them.

    With a budget, a pilot sizes the batches and rounds are added until the answer is settled. A sweep has the copies and
    rounds.
    """

    name: str
    title: str
    summary: str
    budget_s: float | None
    copies: int
    rounds: int
    warmup: bool
    calibrate: bool

    def options(self, *, is_sweep: bool = False) -> dict[str, Any]:
        """Return the preset as arguments of `plan`."""
        sized = self.budget_s is not None and not is_sweep
        return {
            "preset": self.name,
            "budget_s": self.budget_s if sized else None,
            "copies": self.copies,
            "rounds": 1 if sized else self.rounds,
            "warmup": self.warmup and not sized,
            "calibrate": self.calibrate,
        }


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("quick", "Quick", "Differences of a third and more.", 30.0, 12, 5, True, False),
        Preset("standard", "Standard", "Settles most comparisons.", 120.0, 100, 5, True, True),
        Preset("thorough", "Thorough", "Finds small differences.", 600.0, 200, 10, True, True),
    )
}


def rounds_aimed(budget_s: float) -> int:
    """Return into how many rounds a budget is divided at first."""
    return 6 if budget_s <= 30 else 10 if budget_s <= 120 else 20
