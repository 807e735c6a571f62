"""Import a package without what it loads only to be more comfortable, where that is installed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(name: str) -> Iterator[None]:
    """Let what is imported within find that package not installed; whoever imports it later finds it."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # as the import system marks what cannot be imported
    try:
        yield
    finally:
        del sys.modules[name]
