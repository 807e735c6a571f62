"""Import modules without the garbage collector, which would scan their permanent objects again and again."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Turn the collector off within the block, then freeze all objects, so that later collections skip them.

    Their memory pages stay shared with processes forked later: see Python's documentation of `gc.freeze`.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
