"""Pause, drain, resume: each writes a row, an audit entry, and the copy in Redis that workers read."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from django.db import transaction
from django.utils import timezone

from poolwise import definitions
from poolwise.lifecycle import pauses
from poolwise.models import Pause, audit
from poolwise.pools import get_pool
from poolwise.support import REDIS_ERRORS, InvalidParameters, storable, web_client

if TYPE_CHECKING:
    from django.contrib.auth.models import User

log = structlog.get_logger(__name__)
_MAX_REASON_CHARS = 300


@dataclass(frozen=True, slots=True)
class ActionResult:
    """The result of an action. Without `is_in_redis`, the coordinator writes it to Redis later."""

    kind: str
    name: str
    state: str  # «paused», «draining» or «running»
    has_changed: bool
    is_in_redis: bool

    @property
    def text(self) -> str:
        """Return the result in a sentence or two."""
        what = f"The {self.kind} {self.name}"
        if not self.has_changed:
            return f"{what} was {self.state} already."
        if not self.is_in_redis:
            return f"{what} is {self.state} in the database. Redis does not answer; the workers follow when it does."
        if self.state == "running":
            return f"{what} is resumed."
        return f"{what} is {self.state}: within 2 s no worker starts a job of it. Running jobs finish."


def pause(kind: str, name: str, *, user: "User | None", reason: str, **details: Any) -> ActionResult:
    """Start no more jobs of a pool or a definition; they stay queued. Raise PoolwiseError if it is unknown."""
    return _pause(kind, name, Pause.State.PAUSED, user, reason, details)


def drain(name: str, *, user: "User | None", reason: str, **details: Any) -> ActionResult:
    """Pause a pool for maintenance, once its running jobs have finished. Raise PoolwiseError if it is unknown."""
    return _pause(Pause.Kind.POOL, name, Pause.State.DRAINING, user, reason, details)


def resume(kind: str, name: str, *, user: "User | None", reason: str, **details: Any) -> ActionResult:
    """Let jobs start again. Raise PoolwiseError if the pool or definition is unknown."""
    reason = required(reason)
    with transaction.atomic():
        deleted, _ = Pause.objects.filter(kind=kind, name=storable(name)).delete()
        if deleted:
            audit.record("resume", f"{kind} {name}", user=user, reason=reason, **details)
        else:
            _check_known(
                kind, name
            )  # a paused pool or definition that is no longer declared can be resumed, too
    return ActionResult(kind, name, "running", bool(deleted), _write_copy())


def _pause(
    kind: str, name: str, state: Pause.State, user: "User | None", reason: str, details: dict[str, Any]
) -> ActionResult:
    reason = required(reason)
    _check_known(kind, name)
    values = {"state": state, "at": timezone.now(), "user": user, "reason": reason}
    with transaction.atomic():
        _, is_new = Pause.objects.get_or_create(kind=kind, name=name, defaults=values)
        has_changed = bool(
            is_new or Pause.objects.filter(kind=kind, name=name).exclude(state=state).update(**values)
        )
        if has_changed:
            verb = "drain" if state == Pause.State.DRAINING else "pause"
            audit.record(verb, f"{kind} {name}", user=user, reason=reason, **details)
    return ActionResult(kind, name, str(state), has_changed, _write_copy())


def required(reason: str) -> str:
    """Return a reason that the database can store. Raise InvalidParameters if it is empty or too long."""
    if not (reason := storable(" ".join(reason.split()))):
        raise InvalidParameters({"reason": "Give a reason for the audit log."})
    if len(reason) > _MAX_REASON_CHARS:
        raise InvalidParameters({"reason": f"At most {_MAX_REASON_CHARS} characters."})
    return reason


def _check_known(kind: str, name: str) -> None:
    if kind == Pause.Kind.POOL:
        get_pool(name)
    else:
        definitions.get(name)


def _write_copy() -> bool:
    """Write the copy in Redis; return whether that succeeded. Coordinators write it each second, too."""
    try:
        pauses.copy_database(web_client())
    except REDIS_ERRORS as error:
        log.warning("Redis is unavailable; the coordinator writes the pause state later", error=str(error))
        return False
    return True
