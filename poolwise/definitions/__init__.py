"""Job definitions: how a plain typed function becomes a job, and where to find them all.

@job(kind="io", title="Timed wait")
def wait(duration_s: Annotated[float, Field(ge=0, le=600)] = 0.1) -> float: ...

@wait.asyncio
async def _(duration_s): ...
"""

from poolwise.definitions.context import AttemptContext
from poolwise.definitions.declare import JobTask, job
from poolwise.definitions.definition import KINDS, Definition
from poolwise.definitions.fields import ParameterField
from poolwise.definitions.lesson import Lesson
from poolwise.definitions.registry import (
    all_definitions,
    discover,
    find,
    from_task,
    get,
    register,
    resolve,
)
from poolwise.definitions.secrets import Secret

__all__ = [
    "KINDS",
    "AttemptContext",
    "Definition",
    "JobTask",
    "Lesson",
    "ParameterField",
    "Secret",
    "all_definitions",
    "discover",
    "find",
    "from_task",
    "get",
    "job",
    "register",
    "resolve",
]
