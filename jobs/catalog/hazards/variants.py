"""Which parameter of a hazard chooses between the mistake and its guards."""

from typing import Any

from jobs import definitions

#: The result of each repeats the value under the same name.
VARIANT = {
    "hazard.shared_counter": "guard",
    "hazard.blocked_loop": "work",
    "hazard.large_payload": "way",
    "hazard.backlog": "bound",
    "hazard.lock_held": "held",
    "hazard.head_of_line": "prefetch",
    "hazard.tiny_jobs": "place",
}
#: Hazards that show themselves on some models only; any process shows the others.
SHOWN_ON = {"hazard.blocked_loop": ("gevent", "asyncio", "threads")}


def variants(definition: str) -> tuple[Any, ...]:
    """Return the values of the parameter that chooses. Raise KeyError for what is no hazard of this package."""
    chooser = VARIANT[definition]
    return next(field.choices for field in definitions.get(definition).fields if field.name == chooser)
