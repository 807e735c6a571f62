"""A job definition: everything that is known about a job before it is submitted."""

import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.tasks import Task
from django.utils.module_loading import import_string
from pydantic import BaseModel, TypeAdapter, ValidationError

from poolwise.definitions.fields import ParameterField
from poolwise.definitions.lesson import Lesson
from poolwise.definitions.parameters import messages, python_values, texts_for_numbers
from poolwise.definitions.payload import json_ready, refuse_oversized
from poolwise.definitions.results import json_text
from poolwise.definitions.secrets import hide, is_hidden, reveal, reveal_or_keep
from poolwise.support import InvalidParameters

#: `hazard`: a job that makes a common mistake on purpose.
KINDS = ("io", "cpu", "mixed", "hazard")
DEFAULT_MAX_ATTEMPTS = 3
DEFAULT_MAX_PAYLOAD_BYTES = 65_536

type Body = Callable[..., Any]
type AsyncBody = Callable[..., Coroutine[Any, Any, Any]]


def default_time_limit_s(soft_s: float | None = None) -> float | None:
    """Return the site's default time limit; None if it is 0, or not above the soft limit."""
    limit_s = float(settings.JOB_TIME_LIMIT_S)
    return limit_s if limit_s > (soft_s or 0.0) else None


def available() -> str | None:
    """Return None: the definition can run in every installation."""
    return None


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A registered function with a name, a kind and typed parameters."""

    name: str
    kind: str
    title: str
    summary: str
    """The first line of the docstring."""
    description: str
    """The rest of the docstring."""
    module_path: str
    """The import path of the task, `module.name`."""
    task_func: Body
    """The function that was decorated."""
    body: Body | None
    """Called as `body(**arguments)`, with the AttemptContext before them when `takes_context`."""
    async_body: AsyncBody | None
    parameters: type[BaseModel]
    fields: tuple[ParameterField, ...]
    signature: tuple[inspect.Parameter, ...]
    pool: str | None = None
    """Where it runs when no pool is given; None: by kind."""
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    retry_on: tuple[type[Exception], ...] = ()
    retry_delay_s: float = 1.0
    soft_time_limit_s: float | None = None
    time_limit_s: float | None = None
    memory_limit_bytes: int | None = None
    """By how much the process may grow during the job; enforced by prefork only."""
    max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES
    unique: bool = False
    """Whether only one job with the same parameters may be queued or running."""
    takes_context: bool = False
    unavailable: Callable[[], str | None] = field(default=available)
    """Returns the reason why it cannot run in this installation, or None."""
    lesson: Lesson | None = None
    """Explains the results of its variants."""
    result_adapter: TypeAdapter[Any] | None = field(default=None, repr=False)
    """Makes JSON of results by their annotation; None: by their value."""

    def validate(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters, defaults filled in, as plain JSON values; the secret ones encrypted.

        Raise InvalidParameters that names each field: unknown, missing, out of range, a text for a number, not JSON,
        too large.
        """
        validated = self._validated(params)
        if faults := texts_for_numbers(self.parameters, params):
            raise InvalidParameters(faults)
        ready = json_ready(validated)
        for name in self.secret_names:
            if isinstance(ready[name], str):
                given = params.get(name)
                # An encrypted secret stays as it is, so that equal parameters stay equal.
                ready[name] = given if is_hidden(given) else hide(self.name, name, ready[name])
        refuse_oversized(ready, self.max_payload_bytes)
        return ready

    @property
    def secret_names(self) -> tuple[str, ...]:
        """Return the names of the parameters that are marked as secret."""
        return tuple(item.name for item in self.fields if item.is_secret)

    def secret_values(self, params: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the secrets within stored parameters. Raise InvalidParameters if one cannot be decrypted."""
        values = (reveal(self.name, name, params.get(name)) for name in self.secret_names)
        return tuple(value for value in values if value)

    def in_clear(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return stored parameters with the secrets decrypted where possible, only for comparing."""
        return {
            name: reveal_or_keep(self.name, name, value) if name in self.secret_names else value
            for name, value in params.items()
        }

    def call_arguments(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return Python values for the body.

        Raise InvalidParameters: the code may have changed since submission.
        """
        return python_values(self._validated(params))

    def result_text(self, value: Any) -> str:
        """Return a result as JSON text. Raise any exception if it has none."""
        return json_text(value, self.result_adapter)

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return a call's arguments by parameter name, not yet validated.

        Raise InvalidParameters for too many positional arguments and for one that is given twice.
        """
        places = [p.name for p in self.signature if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        bound = dict(zip(places, args, strict=False))
        rest = list(args[len(places) :])
        if twice := bound.keys() & kwargs.keys():
            raise InvalidParameters({name: "Given twice, by position and by name." for name in sorted(twice)})
        bound |= kwargs
        return self._bind_variadic(bound, rest)

    def example(self) -> dict[str, Any]:
        """Return the defaults of the optional parameters as JSON values, for a form."""
        return {item.name: item.default for item in self.fields if not item.required}

    @property
    def is_async_only(self) -> bool:
        """Return whether there is no sync body."""
        return self.body is None

    @property
    def task(self) -> "Task[Any, Any]":
        """Return the django.tasks Task of this definition."""
        task: Task[Any, Any] = import_string(self.module_path)
        return task

    def _validated(self, params: Mapping[str, Any]) -> BaseModel:
        if not isinstance(params, Mapping):
            raise InvalidParameters({"params": "Give an object of names and values."})
        revealed = {name: reveal(self.name, str(name), value) for name, value in params.items()
                    if name in self.secret_names}  # fmt: skip
        try:
            return self.parameters.model_validate({**params, **revealed})
        except ValidationError as error:
            known = [item.name for item in self.fields]
            raise InvalidParameters(messages(error, self.name, known)) from error

    def _bind_variadic(self, bound: dict[str, Any], rest: list[Any]) -> dict[str, Any]:
        kinds = {p.kind: p.name for p in self.signature}
        if rest and inspect.Parameter.VAR_POSITIONAL not in kinds:
            raise InvalidParameters({"args": f"{self.name} takes at most {len(bound)} positional arguments."})
        if rest:
            bound[kinds[inspect.Parameter.VAR_POSITIONAL]] = rest
        if catch_all := kinds.get(inspect.Parameter.VAR_KEYWORD):
            known = {p.name for p in self.signature} - {catch_all}
            surplus = {name: bound.pop(name) for name in list(bound) if name not in known}
            bound |= {catch_all: surplus} if surplus else {}
        return bound
