"""Comparisons: plan them, release their blocks one after another, say how far they are.

What is measured is only as good as the peace it is measured in: one comparison at a time, one pool at a time, a block
that something disturbed is void and repeated. `jobs.evidence` judges what came of it.
"""

from jobs.comparisons.arms import Arm, Vary, arms_of, choices, word
from jobs.comparisons.design import OWN, OWN_WORDS, Design
from jobs.comparisons.feeding import Pace, copies_of, pace
from jobs.comparisons.plan import plan
from jobs.comparisons.presets import PRESETS, Preset
from jobs.comparisons.progress import PoolProgress, estimate_before, estimate_s, progress
from jobs.comparisons.run import advance, is_wanted, stop, watch

__all__ = [
    "OWN",
    "OWN_WORDS",
    "PRESETS",
    "Arm",
    "Design",
    "Pace",
    "PoolProgress",
    "Preset",
    "Vary",
    "advance",
    "arms_of",
    "choices",
    "copies_of",
    "estimate_before",
    "estimate_s",
    "is_wanted",
    "pace",
    "plan",
    "progress",
    "stop",
    "watch",
    "word",
]
