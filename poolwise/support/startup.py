"""Loading without the garbage collector, which would look again and again through what is there to stay."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect nothing within; what is there at the end is never looked through again, which shortens every collection.

    The pages of it stay shared with the processes that are forked later; Python's documentation of `gc.freeze` says so.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
