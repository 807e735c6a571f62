"""What the API takes."""

from typing import Any, Literal

from ninja import Schema
from ninja.params.models import Body
from pydantic import ConfigDict, Field

from poolwise.lab import Design


class In(Schema):
    """What a caller sends; an unknown name is a mistake worth hearing of."""

    model_config = ConfigDict(extra="forbid")


#: For what a body may be left out: nothing in it has to be said.
WITHOUT: Any = Body({}, validate_default=True)


class Reason(In):
    """Why an act is done; the audit log keeps it."""

    reason: str = Field(min_length=1, max_length=300)


class PurgeIn(Reason):
    """A purge says that it is meant."""

    confirm: Literal[True]


class CancelIn(In):
    """Why a job is cancelled; the audit log keeps it for a job of somebody else."""

    reason: str = Field("", max_length=300)


class SubmitIn(In):
    """One job, or copies of it."""

    definition: str = Field(max_length=200)
    params: dict[str, Any] = {}
    pool: str = Field("auto", max_length=100)
    copies: int = Field(1, ge=1)


class AgainIn(In):
    """What differs from the job that is run again."""

    params: dict[str, Any] | None = None
    pool: str | None = Field(None, max_length=100)


class ComparisonIn(In, Design):
    """A comparison, with the values of the page's form."""

    definition: str = Field(max_length=200)
    params: dict[str, Any] = {}
    pools: list[str] = Field(min_length=1, max_length=100)
