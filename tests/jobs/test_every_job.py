"""Rules that every job of the site keeps."""

import ast
import inspect
import json
from typing import Any

import pytest

import jobs
from poolwise import definitions
from poolwise.definitions import Definition
from poolwise.support.errors import InvalidParameters

jobs.load()
HAZARDS = ("backlog", "blocked", "counter", "locking", "payload", "prefetch", "stored_counter", "tiny")
MODULES = ("io", "cpu", "mixed", "endings", *(f"hazards.{name}" for name in HAZARDS))
SITE_JOBS = [d for d in definitions.all_definitions() if d.module_path.startswith("jobs.")]
NAMES = [
    "io.wait",
    "io.http_get",
    "io.file_round_trip",
    "io.sql_wait",
    "io.redis_round_trips",
    "io.dns_lookup",
    "cpu.primes",
    "cpu.queens",
    "cpu.sha256",
    "cpu.compress",
    "cpu.pbkdf2",
    "cpu.json_round_trip",
    "cpu.matrix_product",
    "cpu.thumbnail",
    "mixed.fetch_and_count",
    "mixed.csv_report",
    "endings.succeed",
    "endings.raise_error",
    "endings.slow",
    "endings.flaky",
    "endings.large_result",
    "endings.unserialisable",
    "endings.exit_process",
    "endings.bad_exception",
    "endings.log_lines",
    "hazard.shared_counter",
    "hazard.blocked_loop",
    "hazard.large_payload",
    "hazard.backlog",
    "hazard.lock_held",
    "hazard.head_of_line",
    "hazard.tiny_jobs",
]

each = pytest.mark.parametrize("definition", SITE_JOBS, ids=lambda d: d.name)
FIELDS = [(d, field) for d in SITE_JOBS for field in d.fields]
each_field = pytest.mark.parametrize(("definition", "field"), FIELDS, ids=lambda x: x.name)


def test_the_site_has_these_jobs() -> None:
    assert {definition.name for definition in SITE_JOBS} == set(NAMES)


@each
def test_a_job_runs_with_its_defaults_alone(definition: Definition) -> None:
    params = definition.validate({})
    assert json.loads(json.dumps(params)) == params
    assert params == definition.example()


@each
def test_a_job_is_described_and_its_kind_fits_its_module(definition: Definition) -> None:
    module = definition.name.split(".")[0]
    assert definition.summary.endswith((".", "."))
    assert definition.kind == (module if module != "endings" else definition.kind)
    assert definition.description or module == "endings"
    assert ("GIL" in definition.description) or module == "endings"


@each_field
def test_every_parameter_is_described_and_limited(definition: Definition, field: Any) -> None:
    assert field.help
    if field.choices:
        assert field.default in field.choices
    elif field.type in ("integer", "number"):
        assert None not in (field.minimum, field.maximum)
        assert field.minimum <= field.default <= field.maximum
    elif field.type in ("string", "array"):
        assert field.max_length


@each_field
def test_a_parameter_out_of_range_is_refused_by_name(definition: Definition, field: Any) -> None:
    if field.choices:
        wrong = ["perhaps", 2, None]
    elif field.type in ("integer", "number"):
        wrong = [field.minimum - 1, field.maximum + 1, "many", None]
    elif field.type == "boolean":
        wrong = ["perhaps"]
    else:
        wrong = [[1] * (field.max_length + 1), 1, None]
    for value in wrong:
        with pytest.raises(InvalidParameters) as caught:
            definition.validate({field.name: value})
        assert list(caught.value.errors) == [field.name]


@each
def test_both_bodies_take_the_same_parameters(definition: Definition) -> None:
    if definition.body and definition.async_body:
        sync, coroutine = (
            list(inspect.signature(b).parameters) for b in (definition.body, definition.async_body)
        )
        assert sync == coroutine


def test_no_module_uses_the_shared_random_generator() -> None:
    for name in MODULES:
        source = inspect.getsource(__import__(f"jobs.{name}", fromlist=["x"]))
        imported = {a.name for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Import) for a in n.names}
        assert "random" not in imported


def test_only_a_job_that_is_off_by_default_can_end_its_worker(settings: Any) -> None:
    settings.JOB_ALLOW_HARMFUL = False
    harmful = {d.name for d in SITE_JOBS if _ENDS_PROCESS & set(_calls(d))}
    assert harmful == {"endings.exit_process"}
    assert all("JOB_ALLOW_HARMFUL" in (definitions.get(name).unavailable() or "") for name in harmful)


#: Calls that end a process or signal one.
_ENDS_PROCESS = {
    "_exit",
    "abort",
    "kill",
    "killpg",
    "raise_signal",
    "pthread_kill",
    "exit",
    "execv",
    "execve",
}


def _calls(definition: Definition) -> list[str]:
    """Return the names of the functions and methods that the bodies call."""
    bodies = [body for body in (definition.body, definition.async_body) if body]
    trees = [ast.parse(inspect.getsource(body)) for body in bodies]
    called = [node.func for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [getattr(func, "attr", getattr(func, "id", "")) for func in called]
