"""Choose the pool for `auto`: a pin, else the newest answer of a comparison, else the definition's kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import F

from poolwise import definitions
from poolwise.definitions import Definition
from poolwise.lifecycle.environment import code_version
from poolwise.models import Comparison, PinnedDefinition
from poolwise.pools import AUTO

#: How many comparisons of a definition are considered, the newest first.
_CONSIDERED = 20
_MAX_WHY_CHARS = 300


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen pool and how it was chosen, in one sentence."""

    pool: str
    why: str


def chosen(definition: str, pool: str) -> Choice:
    """Return the pool to submit to: the named one, or a choice for `auto`. Raise UnknownDefinition."""
    return choose(definitions.get(definition)) if pool == AUTO else Choice(pool, "")


def choose(definition: Definition) -> Choice:
    """Return the pool for a definition that was submitted to `auto`."""
    choice = pinned(definition.name) or proven(definition.name) or by_kind(definition)
    return Choice(choice.pool, choice.why[:_MAX_WHY_CHARS])


def pinned(name: str) -> Choice | None:
    """Return the pool that an administrator pinned the definition to, if that pool is still declared."""
    pin = PinnedDefinition.objects.filter(definition=name).first()
    if pin is None or pin.pool not in settings.JOB_POOLS:
        return None
    return Choice(pin.pool, f"pinned: {pin.reason or 'an administrator pinned the definition to this pool'}")


def proven(name: str) -> Choice | None:
    """Return what the newest answer recommends; answers of the current code first.

    Imported reports do not count: they are of another machine. Nor do comparisons of parameters.
    """
    rows = (
        Comparison.objects.filter(definition=name, imported_at=None, vary__isnull=True, report__isnull=False)
        .order_by("-created_at")
        .values("pk", "created_at", answer=F("report__answer"), code=F("report__environment__code"))[
            :_CONSIDERED
        ]
    )
    usable = [row for row in rows if (row["answer"] or {}).get("pool") in settings.JOB_POOLS]
    same_code = (row for row in usable if row["code"] == code_version())
    row = next(same_code, usable[0] if usable else None)
    return Choice(row["answer"]["pool"], _why(row)) if row else None


def _why(row: Mapping[str, Any]) -> str:
    is_older = "" if row["code"] == code_version() else ", by an earlier version of the code"
    return f"measured: comparison {str(row['pk'])[:8]} of {row['created_at']:%Y-%m-%d}{is_older}: {row['answer']['text']}"


def by_kind(definition: Definition) -> Choice:
    """Return the pool that the definition names, else the one in the settings for its kind, else the first."""
    if definition.pool in settings.JOB_POOLS:
        return Choice(
            str(definition.pool), "kind: the definition names this pool, and there is no valid report"
        )
    wanted = settings.JOB_DEFAULT_POOLS.get(definition.kind, "")
    pool = wanted if wanted in settings.JOB_POOLS else next(iter(settings.JOB_POOLS))
    return Choice(pool, f"kind: the pool for jobs of kind {definition.kind}, and there is no valid report")
