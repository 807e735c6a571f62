"""Value types with limits, and the base class of models that parse untrusted data."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    """An immutable value; parsing drops every field that the model does not name."""

    model_config = ConfigDict(extra="ignore", strict=False, frozen=True, defer_build=True)


def _small_json(value: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(value, allow_nan=False)) > 100_000:
        raise ValueError("too large")
    return value


Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Number = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]
#: The quotient of two durations, which may differ by orders of magnitude.
Ratio = Annotated[float, Field(ge=0, le=1e200, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=10**12)]
Name = Annotated[str, Field(pattern=r"^[^\W\d]\w{0,99}$")]
ShortText = Annotated[str, Field(max_length=100)]
#: A sentence or two; whoever writes one cuts it to `MAX_REASON_CHARS`.
Text = Annotated[str, Field(max_length=2_000)]
MAX_REASON_CHARS = 1_000
Json = Annotated[dict[str, Any], AfterValidator(_small_json)]
#: A pool, or values of parameters, optionally on a pool: `guard=lock on threads`.
VARIANT_NAME = r"^[^\W\d][\w.:+=, -]*$"
MAX_VARIANT_NAME_CHARS = 300
VariantName = Annotated[str, Field(pattern=VARIANT_NAME, max_length=MAX_VARIANT_NAME_CHARS)]
#: The values of a parameter to compare.
Values = Annotated[
    list[bool | int | float | Annotated[str, Field(max_length=40)] | None], Field(min_length=2, max_length=12)
]
#: The most variants that one report holds.
MAX_COMPARED = 50
