"""Job definitions: how a typed function becomes a job, and the registry of all jobs.

@job(kind="io", title="Timed wait")
def wait(duration_s: Annotated[float, Field(ge=0, le=600)] = 0.1) -> float: ...

@wait.asyncio
async def _(duration_s): ...

Read `declare` (the decorator), `rules` (what it refuses), `definition`, `registry`, `plain` (functions with `@task`
alone); for parameters `parameters`, `annotations`, `payload`, `secrets`; for forms `fields`, `schemas`, `texts`.
"""

from poolwise.definitions.context import AttemptContext
from poolwise.definitions.declare import JobTask, job
from poolwise.definitions.definition import KINDS, Definition, default_time_limit_s
from poolwise.definitions.fields import ParameterField
from poolwise.definitions.lesson import Lesson
from poolwise.definitions.parameters import schema_of
from poolwise.definitions.registry import all_definitions, discover, find, from_task, get, register, resolve
from poolwise.definitions.schemas import DECIMAL
from poolwise.definitions.secrets import Secret, is_hidden
from poolwise.definitions.texts import Decoder, value_of

__all__ = [
    "DECIMAL",
    "KINDS",
    "AttemptContext",
    "Decoder",
    "Definition",
    "JobTask",
    "Lesson",
    "ParameterField",
    "Secret",
    "all_definitions",
    "default_time_limit_s",
    "discover",
    "find",
    "from_task",
    "get",
    "is_hidden",
    "job",
    "register",
    "resolve",
    "schema_of",
    "value_of",
]
