"""The blocks of a pool that count."""

from collections.abc import Mapping
from typing import Any


def blocks_that_count(pool: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return a pool's measured blocks that are not void and have ended."""
    blocks = pool.get("blocks") or ()
    return [
        b for b in blocks if b.get("role") == "measured" and not b.get("void_reason") and b.get("makespan_s")
    ]
