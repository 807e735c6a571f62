"""Commands to workers that change something: signed when they are sent, verified before a worker obeys."""

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from poolwise.support import RefusedMessage, native_lock, signing, wall_now

#: The commands of Celery's remote control that change something.
SIGNED = ("revoke", "pool_grow", "pool_shrink")
_SEAL = "seal"
#: A command is obeyed once, and only this long after it was sent; the clocks of hosts may differ by as much.
MAX_AGE_S = 300.0


def signed_arguments(
    command: str, arguments: Mapping[str, Any], only: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return the arguments with a signature over all of them, the names of the workers meant, and the time."""
    seal = {"only": None if only is None else list(only), "at": wall_now(), "nonce": secrets.token_hex(8)}
    text = _text(command, arguments, seal)
    return {**arguments, _SEAL: {**seal, "signature": signing.sign(signing.COMMAND, text)}}


def _text(command: str, arguments: Mapping[str, Any], seal: Mapping[str, Any]) -> str:
    return json.dumps([command, arguments, [seal[name] for name in ("only", "at", "nonce")]], sort_keys=True)


class CommandFilter:
    """Verifies the commands that one worker receives, and remembers those that it obeyed."""

    def __init__(self) -> None:
        self._obeyed_at: dict[str, float] = {}
        self._lock = native_lock()

    def verified(self, command: str, given: Mapping[str, Any], worker: str) -> dict[str, Any]:
        """Return the arguments of a command. Raise RefusedMessage."""
        arguments = dict(given)
        seal = arguments.pop(_SEAL, None)
        try:
            signature, text = seal["signature"], _text(command, arguments, seal)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise RefusedMessage("it is not signed") from error
        if not signing.is_signed(signing.COMMAND, text, signature):
            raise RefusedMessage(
                "its signature is wrong: it was not sent by this installation, or changed since"
            )
        if seal["only"] is not None and worker not in seal["only"]:
            raise RefusedMessage("it was sent to another worker")
        self._once(signature, seal["at"])
        return arguments

    def _once(self, signature: str, at: float) -> None:
        now = wall_now()
        if abs(now - at) > MAX_AGE_S:
            raise RefusedMessage("it is too old, or the clocks of its sender and this worker differ too much")
        with self._lock:
            self._obeyed_at = {
                each: then for each, then in self._obeyed_at.items() if abs(now - then) <= MAX_AGE_S
            }
            if signature in self._obeyed_at:
                raise RefusedMessage("it was obeyed before")
            self._obeyed_at[signature] = at
