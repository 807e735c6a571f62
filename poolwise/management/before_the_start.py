"""What `compare` does before it starts: it names what would disturb the comparison, and waits until nothing does."""

import time
from collections.abc import Callable, Sequence
from functools import partial

from poolwise import lab
from poolwise.management.patience import patiently

_CPU_OVER_S = 1.0
_POLL_S = 1.0
_SHOW_AGAIN_S = 15.0


def show_disturbances(pools: Sequence[str], show: Callable[[str], object]) -> None:
    """Show what would disturb a comparison that starts now, and how to wait until nothing does."""
    if found := lab.disturbances(pools, cpu_over_s=_CPU_OVER_S):
        show(_listed("This disturbs the comparison (--wait-until-idle waits until it has ended):", found))


def wait_until_idle(pools: Sequence[str], timeout_s: float, show: Callable[[str], object]) -> None:
    """Return once nothing would disturb a comparison. Raise TimeoutError that names what still does."""
    until_mono = time.monotonic() + timeout_s
    shown, shown_mono = "", 0.0
    disturbances = partial(lab.disturbances, pools, cpu_over_s=_CPU_OVER_S)
    while found := patiently(disturbances, until_mono=until_mono):
        now_mono = time.monotonic()
        if now_mono > until_mono:
            raise TimeoutError(f"Not idle after {timeout_s:g} s; nothing was started. {' '.join(found)}")
        text = _listed("Waiting until idle:", found)
        if text != shown and (not shown or now_mono - shown_mono > _SHOW_AGAIN_S):
            show(text)
            shown, shown_mono = text, now_mono
        time.sleep(_POLL_S)


def _listed(head: str, sentences: Sequence[str]) -> str:
    return "\n  ".join([head, *sentences])
