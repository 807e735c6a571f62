"""Presets: how many copies and rounds a comparison has."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from poolwise.lab.statistics import fewest_rounds


@dataclass(frozen=True, slots=True)
class Preset:
    """Copies, rounds, and whether warm-up and calibration run before them."""

    name: str
    title: str
    summary: str
    copies: int
    rounds: int
    warmup: bool
    calibrate: bool

    def options(self) -> dict[str, Any]:
        """Return the preset as arguments of `plan`."""
        chosen = {
            name: value for name, value in asdict(self).items() if name not in ("name", "title", "summary")
        }
        return {**chosen, "preset": self.name}

    def for_variants(self, variants: int) -> Self:
        """Return the preset with enough rounds for a verdict on that many variants."""
        return replace(self, rounds=max(self.rounds, fewest_rounds(max(2, variants))))


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("quick", "Quick", "Finds large differences only.", 12, 5, True, False),
        Preset("standard", "Standard", "Enough rounds for a verdict in most cases.", 100, 5, True, True),
        Preset("thorough", "Thorough", "Finds small differences; takes longest.", 200, 10, True, True),
    )
}
