"""`@job`, its parameters and the registry."""

import asyncio
import inspect
import json
import pickle
import sys
import types
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import pytest
from django.tasks import Task
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

import jobs
from poolwise import definitions
from poolwise.definitions import AttemptContext, Definition, JobTask, parameters, registry
from poolwise.definitions.parameters import schema_of
from poolwise.support.errors import BadDefinition, InvalidParameters, UnknownDefinition

type Shop = Callable[[str], types.ModuleType]
HEAD = """
from typing import *
from datetime import date, timedelta
from enum import Enum
from django.tasks import task
from pydantic import Field
from poolwise.definitions import job
"""


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs.load()
    monkeypatch.setattr(registry, "_by_name", dict(registry._by_name))
    monkeypatch.setattr(registry, "_name_by_path", dict(registry._name_by_path))


@pytest.fixture
def shop() -> Iterator[Shop]:
    """Return a function that makes the module `shop.jobs`, or another, from its source."""
    made: list[str] = []

    def make(source: str, name: str = "shop.jobs") -> types.ModuleType:
        module = types.ModuleType(name)
        sys.modules[name] = module
        made.append(name)
        exec(compile(HEAD + source, f"<{name} {len(made)}>", "exec"), vars(module))
        return module

    yield make
    for name in made:
        sys.modules.pop(name, None)


def defined(module: types.ModuleType, name: str = "work") -> Definition:
    return definitions.from_task(getattr(module, name))


# --- declaring ------------------------------------------------------------------------------------------


def test_a_typed_function_becomes_a_django_task_with_a_definition(shop: Shop) -> None:
    module = shop(
        '@job(kind="io", title="Work")\ndef work(n: int = 1) -> int:\n    "Do it.\\n\\n    All of it."\n'
    )
    definition = defined(module)
    assert isinstance(module.work, JobTask)
    assert isinstance(module.work, Task)
    assert (definition.name, definition.kind, definition.title) == ("shop.work", "io", "Work")
    assert (definition.summary, definition.description) == ("Do it.", "All of it.")
    assert definition.body is module.work.func
    assert definition.async_body is None


def test_a_bare_decorator_takes_every_default(shop: Shop) -> None:
    definition = defined(shop("@job\ndef send_mail(to_s: str) -> None: ..."), "send_mail")
    assert (definition.kind, definition.title, definition.max_attempts) == ("mixed", "Send mail", 3)
    assert definition.unavailable() is None


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("shop.jobs", "shop.work"),
        ("shop.tasks", "shop.work"),
        ("tasks", "tasks.work"),
        ("shop.mail", "mail.work"),
    ],
)
def test_a_name_comes_from_the_module_or_its_package(shop: Shop, module: str, name: str) -> None:
    assert defined(shop("@job\ndef work(): ...", module)).name == name


def test_an_explicit_name_wins(shop: Shop) -> None:
    shop('@job(name="billing.run")\ndef work(): ...')
    assert definitions.get("billing.run").module_path == "shop.jobs.work"


def test_an_async_function_has_an_async_body_only(shop: Shop) -> None:
    definition = defined(shop("@job\nasync def work(n: int) -> int: return n"))
    assert definition.is_async_only
    assert asyncio.run(definition.async_body(n=3)) == 3


def test_an_async_body_is_registered_beside_the_sync_one(shop: Shop) -> None:
    module = shop("@job\ndef work(n: int): return n\n@work.asyncio\nasync def _(n): return -n")
    definition = defined(module)
    assert definition.body(n=2) == 2
    assert asyncio.run(definition.async_body(n=2)) == -2
    assert module.work.definition is definition


def test_the_context_is_no_parameter(shop: Shop) -> None:
    definition = defined(
        shop("@job(takes_context=True)\ndef work(context, n: int): return context.attempt * n")
    )
    assert [field.name for field in definition.fields] == ["n"]
    assert (
        definition.body(
            AttemptContext("id", 2, definition.name, "threads"), **definition.call_arguments({"n": 4})
        )
        == 8
    )


@pytest.mark.parametrize(
    ("source", "remedy"),
    [
        ("@job\ndef work(n): ...", "annotate it, for example `n: int`"),
        ("@job\ndef work(*numbers: int): ...", "list its parameters one by one"),
        ("@job\ndef work(**numbers: int): ...", "list its parameters one by one"),
        ("@job\ndef work(n: int, /): ...", "remove the `/`"),
        ("@job\ndef work(n: 'Missing'): ...", "import its type"),
        ("class User: ...\n@job\ndef work(n: User): ...", "has no JSON form"),
        ("@job\ndef work(n: Callable[[], int]): ...", "has no JSON form"),
        ("class User: ...\n@job\ndef work() -> User: ...", "its result, shop.jobs.User, has no JSON form"),
        ("class User: ...\n@job\nasync def work() -> list[User]: ...", "has no JSON form"),
        ("@job\ndef work() -> Callable[[], int]: ...", "has no JSON form"),
        ("@job\ndef work(): ...\n@work.asyncio\nasync def _() -> type(job): ...", "has no JSON form"),
        ("@job\ndef work(n: Annotated[int, Field(ge=3)] = 2): ...", "change the default or the limits"),
        ("@job\ndef work(n: int = None): ...", "change the default or the limits"),
        ("@job\ndef work(n: Any = object()): ...", "change the default or the limits"),
        (
            "@job\ndef work(n: list[int] = Field(default=[1], min_length=1)): ...",
            "write it into the type: `n: Annotated[list[int], Field(min_length=1)] = [1]`",
        ),
        (
            "@job\ndef work(n: Annotated[str, Field()] = Field(pattern='a', description='It.')): ...",
            "Field(description='It.', pattern='a')]`",
        ),
        (
            "@job\ndef work(n: int | None = Field(3, ge=1, lt=9)): ...",
            "Annotated[int | None, Field(ge=1, lt=9)] = 3`",
        ),
        ("@job\ndef work(n: dict[str, int] = Field(default_factory=dict)): ...", "`n: dict[str, int] = {}`"),
        ("@job\ndef work():\n    yield 1", "return one JSON value"),
        ("@job\nasync def work():\n    yield 1", "return one JSON value"),
        ("@job\nclass Work: ...", "wrap it in a `def`"),
        ("job(lambda: 1)", "move it to the top level"),
        ("def outer():\n    @job\n    def work(): ...\nouter()", "move it to the top level"),
        ("@job\n@task\ndef work(): ...", "without @task"),
        ("@job\ndef work(context): ...", "declare it with takes_context=True"),
        ("@job(takes_context=True)\ndef work(n: int): ...", "call its first parameter `context`"),
        ("@job(kind='fast')\ndef work(): ...", "not one of io, cpu, mixed, hazard"),
        ("@job(colour='red')\ndef work(): ...", "no option colour; it takes kind"),
        ("@job(name='two words')\ndef work(): ...", "use letters"),
        ("@job(title='')\ndef work(): ...", "title: give 1 to"),
        ("@job(max_attempts=0)\ndef work(): ...", "max_attempts: use 1 to"),
        ("@job(max_attempts=True)\ndef work(): ...", "max_attempts: use 1 to"),
        ("@job(max_payload_bytes=10**9)\ndef work(): ...", "max_payload_bytes: use 1 to"),
        ("@job(retry_on='ValueError')\ndef work(): ...", "retry_on: give Exception classes"),
        ("@job(retry_on=KeyboardInterrupt)\ndef work(): ...", "retry_on: give Exception classes"),
        ("@job(retry_delay_s=float('nan'))\ndef work(): ...", "retry_delay_s: use 0 or more"),
        ("@job(time_limit_s=0)\ndef work(): ...", "time_limit_s: use more than 0"),
        ("@job(memory_limit_bytes=1000)\ndef work(): ...", "memory_limit_bytes: use 1,048,576"),
        ("@job(memory_limit_bytes='1 GB')\ndef work(): ...", "memory_limit_bytes: use 1,048,576"),
        ("@job(soft_time_limit_s=0)\ndef work(): ...", "soft_time_limit_s: use more than 0"),
        ("@job(soft_time_limit_s=2, time_limit_s=2)\ndef work(): ...", "must be below time_limit_s"),
        ("@job(unavailable='never')\ndef work(): ...", "give a function that returns a reason"),
        (
            "@job\ndef work(n: int): ...\n@work.asyncio\nasync def _(m): ...",
            "parameters of the sync one: (n)",
        ),
        ("@job\ndef work(): ...\n@work.asyncio\ndef _(): ...", "must be an `async def`"),
        ("@job\nasync def work(): ...\n@work.asyncio\nasync def _(): ...", "keep one of the two"),
        ("@job\ndef work(): ...\n@job\ndef work(): ...", "give one of them another name"),
        ("@job(name='io.wait')\ndef work(): ...", "jobs.io.wait (line"),
    ],
)
def test_a_bad_declaration_fails_at_import_with_the_remedy(shop: Shop, source: str, remedy: str) -> None:
    with pytest.raises(BadDefinition) as caught:
        shop(source)
    assert remedy in str(caught.value)


def test_a_module_imported_again_after_a_failure_registers_its_jobs_again(shop: Shop) -> None:
    first = defined(shop("@job\ndef work(n: int = 1): ..."))
    again = definitions.register(first)
    assert definitions.get("shop.work") is again


# --- the task -------------------------------------------------------------------------------------------


def test_a_pickled_task_keeps_what_using_changed(shop: Shop) -> None:
    task = shop("@job\ndef work(n: int = 1): ...").work.using(queue_name="gevent")
    copy = pickle.loads(pickle.dumps(task))
    assert copy == task
    assert (type(copy), copy.queue_name, copy.definition) == (JobTask, "gevent", task.definition)


def test_a_task_may_be_declared_before_the_models_are_loaded(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Task) -> None:
        raise AssertionError("the backend needs the models")

    monkeypatch.setattr("django.tasks.base.Task.get_backend", refuse)
    monkeypatch.setattr("django.apps.apps.models_ready", False)
    assert defined(shop("@job\ndef work(): ...")).name == "shop.work"


def test_a_call_of_the_task_runs_the_body(shop: Shop) -> None:
    assert shop("@job\ndef work(n: int): return n + 1").work.call(2) == 3


# --- parameters -----------------------------------------------------------------------------------------
def test_valid_parameters_are_checked_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def alone(owner: str, parameter: inspect.Parameter) -> None:
        raise AssertionError(f"{parameter.name} was tried alone")

    monkeypatch.setattr(parameters, "_check_parameter", alone)

    def work(n: int, names: list[str], size: Annotated[float, Field(gt=0)] = 1.0) -> None: ...

    model = parameters.build_model("work", inspect.signature(work).parameters.values())
    assert list(schema_of(model)["properties"]) == ["n", "names", "size"]


SOURCE = """
class Colour(Enum):
    RED = "red"
    BLUE = "blue"
@job(max_payload_bytes=2000)
def work(
    count: Annotated[int, Field(ge=1, le=9, description="How many.")],
    ratio: Annotated[float, Field(gt=0, lt=1)] = 0.5,
    name: Annotated[str, Field(min_length=1, max_length=1900)] = "x",
    colour: Colour = Colour.RED,
    mode: Literal["a", "b"] = "a",
    day: date | None = None,
    pause: timedelta = timedelta(seconds=1),
    items: Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=3)] = [],
    json: Any = None,
): ...
"""


@pytest.mark.parametrize(
    ("params", "field", "text"),
    [
        ({}, "count", "required"),
        ({"count": 0}, "count", "greater than or equal to 1"),
        ({"count": 10}, "count", "less than or equal to 9"),
        ({"count": "many"}, "count", "valid integer"),
        ({"count": 1, "ratio": 1}, "ratio", "less than 1"),
        ({"count": 1, "ratio": float("nan")}, "ratio", "finite"),
        ({"count": 1, "ratio": 10**400}, "ratio", "valid number"),
        ({"count": 1, "name": ""}, "name", "at least 1"),
        ({"count": 1, "name": "a\0b"}, "name", "NUL"),
        ({"count": 1, "name": "\ud800"}, "name", "valid"),
        ({"count": 1, "colour": "green"}, "colour", "'red' or 'blue'"),
        ({"count": 1, "mode": "c"}, "mode", "'a' or 'b'"),
        ({"count": 1, "day": "tomorrow"}, "day", "valid date"),
        ({"count": 1, "items": [1, -1]}, "items", "At 1: Input should be greater"),
        ({"count": 1, "items": [1] * 4}, "items", "at most 3"),
        ({"count": 1, "json": object()}, "json", "cannot be stored as JSON"),
        ({"count": 1, "json": float("inf")}, "json", "cannot be stored as JSON"),
        ({"count": 1, "json": {"a": ["\0"]}}, "json", "NUL"),
        ({"count": 1, "json": "\udfff"}, "json", "cannot be stored as JSON"),
        ({"count": 1, "colr": "red"}, "colr", "no such parameter; it takes count, ratio"),
        ({"count": 1, 2: 3}, "2", "no such parameter"),
        ({"count": 1, "name": "y" * 1900, "json": "z" * 100}, "name", "2,1"),
        ([], "params", "an object of names and values"),
        (None, "params", "an object of names and values"),
    ],
)
def test_an_error_names_the_field(shop: Shop, params: Any, field: str, text: str) -> None:
    with pytest.raises(InvalidParameters) as caught:
        defined(shop(SOURCE)).validate(params)
    assert list(caught.value.errors) == [field]
    assert text in caught.value.errors[field]


def test_every_invalid_field_is_named_at_once(shop: Shop) -> None:
    with pytest.raises(InvalidParameters) as caught:
        defined(shop(SOURCE)).validate({"count": 0, "ratio": 2, "other": 1})
    assert set(caught.value.errors) == {"count", "ratio", "other"}


def test_the_number_of_errors_is_limited(shop: Shop) -> None:
    with pytest.raises(InvalidParameters) as caught:
        defined(shop(SOURCE)).validate({"count": 1} | {f"{n}" * 500: n for n in range(1000)})
    assert len(caught.value.errors) == 20
    assert len(str(caught.value)) < 6_000


def test_a_value_nested_too_deeply_is_refused(shop: Shop) -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidParameters, match="json"):
        defined(shop(SOURCE)).validate({"count": 1, "json": deep})


def test_defaults_are_filled_in_as_json_and_come_back_as_python(shop: Shop) -> None:
    module = shop(SOURCE)
    definition = defined(module)
    params = definition.validate({"count": 3})
    assert json.loads(json.dumps(params)) == params
    assert (params["count"], params["colour"], params["pause"], params["day"]) == (3, "red", "PT1S", None)
    arguments = definition.call_arguments(params)
    assert arguments["colour"] is module.Colour.RED
    assert arguments["pause"].total_seconds() == 1


def typed(
    whole: int = 1,
    share: float = 0.5,
    fast: bool = False,
    sizes: list[int] = [],  # noqa: B006
    by_number: dict[int, int] = {},  # noqa: B006
    limit: int | None = None,
    code: int | str = 5,
    exact: Decimal | None = None,
    day: date | None = None,
) -> None:
    """Take numbers of several kinds."""


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("whole", "1_000", "valid integer"), ("whole", "5", "valid integer"), ("whole", True, "valid integer"),
        ("share", "1_0", "valid number"), ("share", "0.5", "valid number"), ("fast", "yes", "valid boolean"),
        ("sizes", [1, "1_0"], "At 1: "), ("by_number", {"1": "2"}, "At 1: "), ("limit", "5", "valid integer"),
    ],
)  # fmt: skip
def test_a_text_is_no_number(define: Callable[..., Definition], name: str, value: Any, text: str) -> None:
    with pytest.raises(InvalidParameters) as caught:
        define(typed, name="t.typed").validate({name: value})
    assert list(caught.value.errors) == [name]
    assert text in caught.value.errors[name]


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("whole", 5.0, 5), ("share", 5, 5.0), ("by_number", {"1": 2}, {"1": 2}), ("code", "1_000", "1_000"),
        ("exact", "1.10", "1.10"), ("exact", Decimal("1.10"), "1.10"), ("day", date(2026, 3, 4), "2026-03-04"),
        ("limit", None, None),
    ],
)  # fmt: skip
def test_what_is_no_number_in_json_may_be_a_text(
    define: Callable[..., Definition], name: str, value: Any, stored: Any
) -> None:
    assert define(typed, name="t.typed").validate({name: value})[name] == stored


def test_a_backslash_before_u0000_is_no_nul(shop: Shop) -> None:
    assert defined(shop(SOURCE)).validate({"count": 1, "json": "\\u0000"})["json"] == "\\u0000"


def test_a_mutable_default_is_not_shared(shop: Shop) -> None:
    definition = defined(shop("@job\ndef work(items: list[int] = []): ..."))
    definition.call_arguments({})["items"].append(1)
    assert definition.call_arguments({})["items"] == []


def test_a_worker_refuses_parameters_that_are_no_longer_valid(shop: Shop) -> None:
    with pytest.raises(InvalidParameters, match="count"):
        defined(shop(SOURCE)).call_arguments({"count": 99})


@given(count=st.integers())
def test_whole_limits_are_exact(count: int) -> None:
    definition = definitions.get("cpu.queens")
    try:
        assert definition.validate({"size": count}) == {"size": count}
    except InvalidParameters:
        assert not 1 <= count <= 13
    else:
        assert 1 <= count <= 13


@given(duration_s=st.floats())
def test_number_limits_are_exact(duration_s: float) -> None:
    definition = definitions.get("io.wait")
    try:
        definition.validate({"duration_s": duration_s})
    except InvalidParameters:
        assert not 0 <= duration_s <= 600
    else:
        assert 0 <= duration_s <= 600


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@given(params=st.dictionaries(st.text(max_size=8) | st.sampled_from(["value", "duration_s", "names"]), JSON))
def test_any_input_is_either_json_that_is_valid_again_or_refused_by_field(params: dict[str, Any]) -> None:
    for name in ("io.wait", "endings.succeed", "io.dns_lookup", "io.http_get"):
        definition = definitions.get(name)
        try:
            valid = definition.validate(params)
        except InvalidParameters:
            continue
        assert definition.validate(json.loads(json.dumps(valid, allow_nan=False))) == valid


# --- forms ----------------------------------------------------------------------------------------------


def test_fields_have_what_a_form_needs(shop: Shop) -> None:
    definition = defined(shop(SOURCE))
    fields = {field.name: field for field in definition.fields}
    count = fields["count"]
    assert (count.type, count.required, count.minimum, count.maximum, count.help) == (
        "integer",
        True,
        1,
        9,
        "How many.",
    )
    assert (fields["ratio"].type, fields["ratio"].default, fields["ratio"].label) == ("number", 0.5, "Ratio")
    assert fields["colour"].choices == ("red", "blue")
    assert fields["mode"].choices == ("a", "b")
    assert (fields["day"].format, fields["day"].nullable) == ("date", True)
    assert (fields["items"].type, fields["items"].max_length, fields["items"].annotation) == (
        "array",
        3,
        list[int],
    )
    assert fields["json"].type == "any"
    assert fields["pause"].default == "PT1S"
    assert definition.example() | {"count": 1} == definition.validate({"count": 1})
    assert "count" not in definition.example()


def test_a_unit_at_the_end_of_a_name_becomes_part_of_the_label(shop: Shop) -> None:
    definition = defined(shop("@job\ndef work(wait_s: int = 1, size_mib: int = 1, s: int = 1): ..."))
    assert [field.label for field in definition.fields] == ["Wait (s)", "Size (MiB)", "S"]


def test_an_exclusive_integer_limit_is_shown_as_the_next_number(shop: Shop) -> None:
    definition = defined(shop("@job\ndef work(n: Annotated[int, Field(gt=0, lt=10)] = 1): ..."))
    assert (definition.fields[0].minimum, definition.fields[0].maximum) == (1, 9)


# --- calls ----------------------------------------------------------------------------------------------


def test_positional_arguments_are_bound_by_name() -> None:
    definition = definitions.get("io.redis_round_trips")
    assert definition.bind((5,), {"seed": 2}) == {"count": 5, "seed": 2}


@pytest.mark.parametrize(
    ("args", "kwargs", "field"), [((1, 2), {}, "args"), ((1,), {"duration_s": 2}, "duration_s")]
)
def test_a_call_that_does_not_fit_the_signature_is_refused(args: Any, kwargs: Any, field: str) -> None:
    with pytest.raises(InvalidParameters) as caught:
        definitions.get("io.wait").bind(args, kwargs)
    assert list(caught.value.errors) == [field]


# --- plain tasks ----------------------------------------------------------------------------------------


def test_a_plain_task_gets_a_definition_named_by_its_path(shop: Shop) -> None:
    definition = defined(shop("@task\ndef work(a, n: int = 2): 'Do it.'\n", "shop.tasks"))
    assert (definition.name, definition.kind, definition.summary) == ("shop.tasks.work", "mixed", "Do it.")
    assert definition.validate({"a": {"any": 1}}) == {"a": {"any": 1}, "n": 2}
    with pytest.raises(InvalidParameters, match="n: "):
        definition.validate({"a": 1, "n": "two"})


@pytest.mark.parametrize(
    "parameter", ["n: int = None", "n: object", "n: 'Missing'", "n=()", "n: 'Missing' = 3"]
)
def test_a_plain_task_with_an_unusable_annotation_still_runs(shop: Shop, parameter: str) -> None:
    definition = defined(shop(f"@task\ndef work({parameter}): return n", "shop.tasks"))
    assert definition.body(**definition.call_arguments({"n": 5})) == 5


def test_a_plain_task_may_take_any_kind_of_argument(shop: Shop) -> None:
    module = shop(
        "@task\ndef work(a, /, b=1, *rest, c, **named): return [a, b, rest, c, named]", "shop.tasks"
    )
    definition = defined(module)
    params = definition.validate(definition.bind((1, 2, 3), {"c": 4, "d": 5}))
    assert params == {"a": 1, "b": 2, "rest": [3], "c": 4, "named": {"d": 5}}
    assert definition.body(**definition.call_arguments(params)) == module.work.func(1, 2, 3, c=4, d=5)


def test_a_plain_task_keeps_a_default_without_a_json_form(shop: Shop) -> None:
    module = shop("NONE = object()\n@task\ndef work(a, b=NONE, c=1): return a, b is NONE, c", "shop.tasks")
    definition = defined(module)
    params = definition.validate(definition.bind((1,), {"c": 3}))
    assert definition.body(**definition.call_arguments(params)) == (1, True, 3)


def test_a_plain_async_task_has_an_async_body(shop: Shop) -> None:
    definition = defined(shop("@task\nasync def work(*rest): return len(rest)", "shop.tasks"))
    assert definition.is_async_only
    assert inspect.iscoroutinefunction(definition.async_body)
    assert asyncio.run(definition.async_body(**definition.call_arguments({"rest": [1, 2]}))) == 2


def test_a_plain_task_gets_the_context_of_django_tasks(shop: Shop) -> None:
    module = shop(
        "@task(takes_context=True)\ndef work(context): return context.attempt, context.task_result.id",
        "shop.tasks",
    )
    definition = defined(module)
    context = AttemptContext("some-id", 3, definition.name, "threads")
    assert definition.body(context) == (3, "some-id")
    assert context.task_result.attempts == 3
    assert context.task_result.task == module.work


# --- the registry ---------------------------------------------------------------------------------------


def test_an_unknown_name_is_refused_with_close_ones() -> None:
    with pytest.raises(UnknownDefinition, match=r"Did you mean io\.wait"):
        definitions.get("io.wiat")


def test_a_name_that_resembles_nothing_is_cut_in_the_message() -> None:
    with pytest.raises(UnknownDefinition) as caught:
        definitions.get("ü" * 100_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "name", ["os.system", "django.utils.crypto.salted_hmac", "django.contrib.auth.none", "x", ""]
)
def test_a_worker_imports_nothing_but_tasks_of_installed_apps(name: str) -> None:
    with pytest.raises(UnknownDefinition):
        definitions.resolve(name)


def test_a_worker_finds_a_plain_task_outside_the_discovered_modules(
    monkeypatch: pytest.MonkeyPatch, shop: Shop
) -> None:
    shop("@task\ndef work(): ...", "django.contrib.auth.mailing")
    with pytest.raises(UnknownDefinition):
        definitions.get("django.contrib.auth.mailing.work")
    assert definitions.resolve("django.contrib.auth.mailing.work").title == "Work"


def test_discovery_finds_jobs_and_plain_tasks_in_every_app(shop: Shop) -> None:
    shop("@task\ndef plain(): ...\n@job\ndef typed(): ...", "django.contrib.auth.tasks")
    definitions.discover()
    names = {definition.name for definition in definitions.all_definitions()}
    assert {"django.contrib.auth.tasks.plain", "auth.typed"} <= names


@pytest.mark.parametrize(
    ("options", "limit_s"),
    [
        ({}, 50.0),
        ({"time_limit_s": None}, None),
        ({"time_limit_s": 7}, 7),
        ({"soft_time_limit_s": 20}, 50.0),
        ({"soft_time_limit_s": 60}, None),  # the site's would come first
    ],
)
def test_a_definition_without_a_time_limit_has_the_sites(
    define: Callable[..., Definition], settings: Any, options: dict[str, Any], limit_s: float | None
) -> None:
    settings.JOB_TIME_LIMIT_S = 50.0
    assert define(unlimited, name="t.unlimited", **options).time_limit_s == limit_s


def test_a_site_may_have_no_time_limit(define: Callable[..., Definition], settings: Any) -> None:
    settings.JOB_TIME_LIMIT_S = 0.0
    assert define(unlimited, name="t.unlimited").time_limit_s is None


def unlimited() -> None:
    pass


def test_a_lesson_names_the_parameter_that_chooses_between_its_variants(shop: Shop) -> None:
    head = "from poolwise.definitions import Lesson\nHOW = Lesson({!r}, {{}}, lambda by: [])\n"
    job = "@job(lesson=HOW)\ndef work(guard: str = 'none'): ..."
    lesson = defined(shop(head.format("guard") + job)).lesson
    assert lesson is not None
    assert lesson.parameter == "guard"
    with pytest.raises(BadDefinition, match="with one of guard"):
        shop(head.format("other") + job)
