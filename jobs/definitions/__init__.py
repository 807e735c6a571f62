"""Job definitions: how a plain typed function becomes a job, and where to find them all.

@job(kind="io", title="Timed wait")
def wait(duration_s: Annotated[float, Field(ge=0, le=600)] = 0.1) -> float: ...

@wait.asyncio
async def _(duration_s): ...
"""

from jobs.definitions.context import AttemptContext
from jobs.definitions.declare import JobTask, job
from jobs.definitions.definition import KINDS, Definition
from jobs.definitions.fields import ParameterField
from jobs.definitions.lesson import Lesson
from jobs.definitions.registry import all_definitions, discover, find, from_task, get, register, resolve
from jobs.definitions.secrets import Secret

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
