"""The variants of a comparison: pools, or the values of a parameter on each pool."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from poolwise.definitions import Definition
from poolwise.support import InvalidParameters

MAX_VARIANTS = 12
#: A value is part of the variant's name, in charts, URLs and files.
_NAMEABLE = re.compile(r"[\w.:+-]{1,40}")

#: Values of parameters by name.
type Vary = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Variant:
    """A pool, with the parameters that differ from the comparison's; `label` is empty where none does."""

    pool: str
    params: Mapping[str, Any] | None = None
    label: str = ""

    @property
    def name(self) -> str:
        """Return the variant's name in the report."""
        return self.label or self.pool


def variants_of(pools: Sequence[str], vary: Vary | None) -> list[Variant]:
    """Return each pool, or each combination of a pool and values."""
    if not vary:
        return [Variant(pool) for pool in pools]
    combinations = [dict(zip(vary, values, strict=True)) for values in product(*vary.values())]
    return [Variant(pool, params, _label(pool, params, pools)) for pool in pools for params in combinations]


def _label(pool: str, params: Mapping[str, Any], pools: Sequence[str]) -> str:
    text = ", ".join(f"{name}={value_text(value)}" for name, value in params.items())
    return f"{text} on {pool}" if len(pools) > 1 else text


def value_text(value: Any) -> str:
    """Return a value as text for the name of a variant."""
    return value if isinstance(value, str) else json.dumps(value)


def choices(definition: Definition) -> dict[str, tuple[Any, ...]]:
    """Return the parameters with at least two choices, by name."""
    values_of = {field.name: field.choices for field in definition.fields}
    values_of |= {field.name: (False, True) for field in definition.fields if field.type == "boolean"}
    return {name: values for name, values in values_of.items() if len(values) > 1}


def checked(definition: Definition, params: Mapping[str, Any], vary: Vary) -> dict[str, list[Any]]:
    """Return the values as the definition validates them. Raise InvalidParameters."""
    known = {field.name for field in definition.fields}
    if unknown := [name for name in vary if name not in known]:
        raise InvalidParameters(
            {unknown[0]: f"{definition.name} has no such parameter; it has {', '.join(sorted(known))}."}
        )
    unique: dict[str, list[Any]] = {}
    for name, values in vary.items():
        if not all(isinstance(value, str | int | float | None) for value in values):
            raise InvalidParameters({name: "Only text and numbers can be compared, not lists."})
        others = {other: given[0] for other, given in vary.items() if other != name and given}
        valid = [definition.validate({**params, **others, name: value})[name] for value in values]
        unique[name] = list(dict.fromkeys(valid))
        if len(unique[name]) < 2:
            raise InvalidParameters({name: "Give at least two values to compare."})
        if unfit := [value for value in unique[name] if not _NAMEABLE.fullmatch(value_text(value))]:
            raise InvalidParameters({name: f"Only short text and numbers can be compared, not {unfit[0]!r}."})
    return unique
