"""Presets: how much a comparison measures."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from poolwise.lab.statistics import fewest_rounds


@dataclass(frozen=True, slots=True)
class Preset:
    """A choice of copies, rounds and what runs before them."""

    name: str
    title: str
    summary: str
    copies: int
    rounds: int
    warmup: bool
    calibrate: bool

    def options(self) -> dict[str, Any]:
        """Return the arguments of `plan` that it stands for."""
        chosen = {
            name: value for name, value in asdict(self).items() if name not in ("name", "title", "summary")
        }
        return {**chosen, "preset": self.name}

    def for_variants(self, variants: int) -> Self:
        """Return it with as many rounds as a verdict on so many variants takes."""
        return replace(self, rounds=max(self.rounds, fewest_rounds(max(2, variants))))


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "quick", "Quick", "A first look: large differences show, small ones do not.", 12, 5, True, False
        ),
        Preset("standard", "Standard", "Enough rounds for a verdict in most cases.", 100, 5, True, True),
        Preset(
            "thorough", "Thorough", "Small differences show, too; it takes its time.", 200, 10, True, True
        ),
    )
}
