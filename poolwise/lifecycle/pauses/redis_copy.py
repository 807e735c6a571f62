"""The copy in Redis: written with each act, and by every coordinator each second, in case Redis lost its data."""

from poolwise.lifecycle.pauses.rows import Paused
from poolwise.lifecycle.stream import pauses_key
from poolwise.support import Client

#: Says that the copy is there; without it nothing is known, which is not the same as nothing being held.
_WRITTEN = "written"


def write_copy(client: Client, paused: Paused) -> None:
    """Replace the copy in one step. Raise redis-py's errors."""
    fields = {_WRITTEN: "1"}
    fields |= {f"pool:{name}": state for name, state in paused.pools.items()}
    fields |= {f"definition:{name}": state for name, state in paused.definitions.items()}
    client.pipeline(transaction=True).delete(pauses_key()).hset(pauses_key(), mapping=fields).execute()


def read_copy(client: Client) -> Paused | None:
    """Return what the copy says, or None where Redis has none. Raise redis-py's errors."""
    fields = client.hgetall(pauses_key())
    if _WRITTEN not in fields:
        return None
    pools: dict[str, str] = {}
    definitions: dict[str, str] = {}
    for name, state in fields.items():
        kind, _, rest = name.partition(":")
        if kind in ("pool", "definition"):
            (pools if kind == "pool" else definitions)[rest] = state
    return Paused(pools, definitions)
