"""The copy in Redis: written with each act, and by every coordinator each second, in case Redis lost its data."""

from jobs.redis_client import Client
from jobs.stream import switches_key
from jobs.switches.ledger import Held

#: Says that the copy is there; without it nothing is known, which is not the same as nothing being held.
_WRITTEN = "written"


def write(client: Client, held: Held) -> None:
    """Replace the copy in one step. Raise redis-py's errors."""
    fields = {_WRITTEN: "1"}
    fields |= {f"pool:{name}": state for name, state in held.pools.items()}
    fields |= {f"definition:{name}": state for name, state in held.definitions.items()}
    client.pipeline(transaction=True).delete(switches_key()).hset(switches_key(), mapping=fields).execute()


def read(client: Client) -> Held | None:
    """Return what the copy says, or None where Redis has none. Raise redis-py's errors."""
    fields = client.hgetall(switches_key())
    if _WRITTEN not in fields:
        return None
    pools: dict[str, str] = {}
    definitions: dict[str, str] = {}
    for name, state in fields.items():
        kind, _, rest = name.partition(":")
        if kind in ("pool", "definition"):
            (pools if kind == "pool" else definitions)[rest] = state
    return Held(pools, definitions)
