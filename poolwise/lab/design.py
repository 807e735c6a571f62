"""The design of a comparison as entered by a person or a program: pools, rounds, arrival of jobs, slots."""

import random
from typing import Any

from pydantic import BaseModel, Field

from poolwise.lab.presets import PRESETS, Preset
from poolwise.lab.variants import Vary
from poolwise.support import InvalidParameters

#: Custom numbers instead of a preset.
OWN, OWN_LABEL = "own", ("Custom", "Choose rounds and copies.")
MAX_SEED = MAX_IN_FLIGHT = 2**31 - 1


class Design(BaseModel):
    """The arguments of `plan` beside definition and parameters; `plan` itself checks the numbers."""

    pools: list[str] = Field([], max_length=100)
    preset: str = ""
    rounds: int | None = None
    copies: int | None = None
    warmup: bool = True
    calibrate: bool = True
    baseline: str = ""
    in_flight: int | None = Field(None, le=MAX_IN_FLIGHT)
    arrival_rate_per_s: float | None = None
    slots: int | None = None
    is_sweep: bool = False
    seed: int | None = Field(None, ge=0, le=MAX_SEED)

    def faults(self, vary: Vary | None = None) -> dict[str, str]:
        """Return contradictions and missing values, by field name."""
        faults = {}
        if self.is_sweep and self.slots:
            faults["slots"] = "A sweep sets the slots itself: leave this empty or turn the sweep off."
        if self.baseline and vary:
            faults["baseline"] = "Variants are compared with the first one; leave this empty."
        elif self.baseline not in ("", *self.pools):
            faults["baseline"] = f"Choose {self.baseline} too, or another baseline."
        if self.preset not in ("", OWN, *PRESETS):
            faults["preset"] = f"Choose one of {', '.join(PRESETS)}."
        if self.preset in ("", OWN):
            missing = [name for name in ("rounds", "copies") if getattr(self, name) is None]
            faults |= dict.fromkeys(missing, "Give a number, or choose a preset.")
        return faults

    def amount(self) -> Preset:
        """Return the preset, or the custom numbers as a preset."""
        if self.preset in PRESETS:
            return PRESETS[self.preset]
        return Preset(OWN, *OWN_LABEL, None, self.copies or 0, self.rounds or 0, self.warmup, self.calibrate)

    def options(self, vary: Vary | None = None) -> dict[str, Any]:
        """Return the arguments of `plan`, with a random seed if none is given. Raise InvalidParameters."""
        if faults := self.faults(vary):
            raise InvalidParameters(faults)
        amount = self.amount().options(is_sweep=self.is_sweep)
        seed = random.randrange(MAX_SEED) if self.seed is None else self.seed  # noqa: S311 - keeps no secret
        load = self.model_dump(
            include={"pools", "in_flight", "arrival_rate_per_s", "slots", "is_sweep", "baseline"}
        )
        preset = amount["preset"] if amount["preset"] in PRESETS else ""
        return load | amount | {"preset": preset, "seed": seed, "vary": vary}
