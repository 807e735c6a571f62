"""Comparisons: plan them, release their batches one after another, say how far they are.

Nothing may disturb what is measured: one comparison at a time, one pool at a time, a batch
that something disturbed is void and repeated. `jobs.evidence` builds the report.
"""

from jobs.comparisons.arms import Variant, Vary, choices, value_text, variants_of
from jobs.comparisons.design import OWN, OWN_LABEL, Design
from jobs.comparisons.feeding import FeedTiming, copies_of, feed_timing
from jobs.comparisons.plan import plan
from jobs.comparisons.presets import PRESETS, Preset
from jobs.comparisons.progress import PoolProgress, estimate_before, estimate_s, progress
from jobs.comparisons.run import advance, is_wanted, stop, watch

__all__ = [
    "OWN",
    "OWN_LABEL",
    "PRESETS",
    "Design",
    "FeedTiming",
    "PoolProgress",
    "Preset",
    "Variant",
    "Vary",
    "advance",
    "choices",
    "copies_of",
    "estimate_before",
    "estimate_s",
    "feed_timing",
    "is_wanted",
    "plan",
    "progress",
    "stop",
    "value_text",
    "variants_of",
    "watch",
]
