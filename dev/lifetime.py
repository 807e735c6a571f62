"""Processes that end with their parent. Standard library only; `poolwise.support.descendants` has more."""

import ctypes
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(signum: int) -> None:
    """Have this process signalled when its parent is gone, even when the parent was killed. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signum)
