"""The design of a comparison as pages and programs give it: which pools, how much, how jobs arrive, which slots."""

import random
from typing import Any

from pydantic import BaseModel, Field

from poolwise.lab.presets import PRESETS, Preset
from poolwise.lab.variants import Vary, variants_of
from poolwise.support import InvalidParameters

#: Numbers of one's own instead of a preset's.
OWN, OWN_LABEL = "own", ("Own numbers", "You choose rounds and copies.")
MAX_SEED = MAX_IN_FLIGHT = 2**31 - 1


class Design(BaseModel):
    """What `plan` needs beside definition and parameters; `plan` itself checks the numbers."""

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
        """Return what excludes each other and what is missing, by the name of its field."""
        faults = {}
        if self.is_sweep and self.slots:
            faults["slots"] = "A sweep sets the slots itself: leave this empty, or untick the sweep."
        if self.baseline and vary:
            faults["baseline"] = "Variants are compared with their first; leave this as it is."
        elif self.baseline not in ("", *self.pools):
            faults["baseline"] = f"Tick {self.baseline} as well, or choose another baseline."
        if self.preset not in ("", OWN, *PRESETS):
            faults["preset"] = f"Choose one of {', '.join(PRESETS)}."
        if self.preset in ("", OWN):
            missing = [name for name in ("rounds", "copies") if getattr(self, name) is None]
            faults |= dict.fromkeys(missing, "Give a number, or choose a preset.")
        return faults

    def amount(self, vary: Vary | None = None) -> Preset:
        """Return the preset for as many pools or variants as there are, or one's own numbers as one."""
        if self.preset in PRESETS:
            return PRESETS[self.preset].for_variants(len(variants_of(self.pools, vary)))
        return Preset(OWN, *OWN_LABEL, self.copies or 0, self.rounds or 0, self.warmup, self.calibrate)

    def options(self, vary: Vary | None = None) -> dict[str, Any]:
        """Return the arguments of `plan`, without a seed one by chance. Raise InvalidParameters."""
        if faults := self.faults(vary):
            raise InvalidParameters(faults)
        amount = self.amount(vary).options()
        seed = random.randrange(MAX_SEED) if self.seed is None else self.seed  # noqa: S311 - keeps no secret
        load = self.model_dump(
            include={"pools", "in_flight", "arrival_rate_per_s", "slots", "is_sweep", "baseline"}
        )
        preset = amount["preset"] if amount["preset"] in PRESETS else ""
        return load | amount | {"preset": preset, "seed": seed, "vary": vary}
