"""Comparisons of pools: which pool fits a job?

In reading order: `plan` stores a comparison with its batches (`presets`, `variants`, `design`); `run` releases them one
after another (`feed`, `slots`, `probes`, `voiding`) from the coordinator's `duties`, and `rounds` adds rounds of batches
that `sizing` sizes, on `fresh` workers where a command has started them; `report` builds the report from `validity`,
`statistics` and `answer`; `charts` draws it, `bundle` and `handout` export it; pages show `disturbances`, `progress`,
`estimate` and `latest`. One comparison and one pool run at a time, and a disturbed batch is repeated.
Bundles and charts are imported when they are first used: the coordinator needs none, and they take 15 MiB.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from poolwise.lab.design import MAX_IN_FLIGHT, MAX_SEED, OWN, OWN_LABEL, Design
from poolwise.lab.disturbances import disturbances
from poolwise.lab.duties import lab_duties
from poolwise.lab.estimate import estimate_before, estimate_s
from poolwise.lab.feed import copies_of
from poolwise.lab.fresh import renew_workers
from poolwise.lab.plan import plan
from poolwise.lab.presets import PRESETS, Preset
from poolwise.lab.progress import progress, waits_for
from poolwise.lab.report import (
    BatchFigures,
    Report,
    ResultsTable,
    Standing,
    SweepPoint,
    VariantFigures,
)
from poolwise.lab.report.lesson import lesson, table, variants, with_lessons
from poolwise.lab.rounds import status
from poolwise.lab.run import stop, to_renew
from poolwise.lab.validity.measured import MIN_STALL_S
from poolwise.lab.variants import Vary, choices, variants_of

if TYPE_CHECKING:
    from poolwise.lab.bundle import Bundle
    from poolwise.lab.charts import Chart

__all__ = [
    "MAX_IN_FLIGHT",
    "MAX_SEED",
    "MIN_STALL_S",
    "OWN",
    "OWN_LABEL",
    "PRESETS",
    "BatchFigures",
    "Bundle",
    "Chart",
    "Design",
    "Preset",
    "Report",
    "ResultsTable",
    "Standing",
    "SweepPoint",
    "VariantFigures",
    "Vary",
    "bundle",
    "charts",
    "choices",
    "copies_of",
    "disturbances",
    "estimate_before",
    "estimate_s",
    "handout",
    "lab_duties",
    "latest",
    "lesson",
    "plan",
    "progress",
    "renew_workers",
    "report",
    "status",
    "stop",
    "table",
    "to_renew",
    "variants",
    "variants_of",
    "waits_for",
    "with_lessons",
]

_LATER = {"Bundle": "bundle", "Chart": "charts"}


def __getattr__(name: str) -> Any:
    """Import a name of `_LATER` when it is first used."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
