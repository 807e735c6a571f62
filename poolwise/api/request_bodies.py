"""The request bodies of the API."""

from typing import Any, Literal

from ninja import Schema
from ninja.params.models import Body
from pydantic import ConfigDict, Field

from poolwise.lab import Design


class In(Schema):
    """A request body; an unknown name is an error, and so is a text in place of a number."""

    model_config = ConfigDict(extra="forbid", strict=True)


#: The default of an optional body.
WITHOUT: Any = Body({}, validate_default=True)


class Reason(In):
    """The reason for an action, for the audit log."""

    reason: str = Field(min_length=1, max_length=300)


class PurgeIn(Reason):
    """A purge must be confirmed."""

    confirm: Literal[True]


class CancelIn(In):
    """Why a job is cancelled; kept in the audit log for another user's job."""

    reason: str = Field("", max_length=300)


class SubmitIn(In):
    """One job, or copies of it."""

    definition: str = Field(max_length=200)
    params: dict[str, Any] = {}
    pool: str = Field("auto", max_length=100)
    copies: int = Field(1, ge=1)


class NewJobIn(In):
    """One of several jobs."""

    definition: str = Field(max_length=200)
    params: dict[str, Any] = {}
    pool: str = Field("auto", max_length=100)


class SubmitManyIn(In):
    """Jobs with different parameters, at most JOB_MAX_COPIES."""

    jobs: list[NewJobIn] = Field(min_length=1)


class AgainIn(In):
    """What differs from the job that is run again."""

    params: dict[str, Any] | None = None
    pool: str | None = Field(None, max_length=100)


class ComparisonIn(In, Design):
    """A comparison, with the fields of the page's form."""

    definition: str = Field(max_length=200)
    params: dict[str, Any] = {}
    pools: list[str] = Field(min_length=1, max_length=100)
