"""Comparisons: plan them, release their batches one after another, say how far they are.

Nothing may disturb what is measured: one comparison at a time, one pool at a time, a batch
that something disturbed is void and repeated. `poolwise.lab.report` builds the report.
"""

from poolwise.lab.design import OWN, OWN_LABEL, Design
from poolwise.lab.feed import FeedTiming, copies_of, feed_timing
from poolwise.lab.plan import plan
from poolwise.lab.presets import PRESETS, Preset
from poolwise.lab.progress import PoolProgress, estimate_before, estimate_s, progress
from poolwise.lab.run import advance, is_wanted, stop, watch
from poolwise.lab.variants import Variant, Vary, choices, value_text, variants_of

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
