"""The registry of job definitions, by name."""

import sys
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from django.apps import apps
from django.tasks import Task
from django.utils.module_loading import autodiscover_modules, import_string

from poolwise.definitions.definition import Definition
from poolwise.definitions.plain import definition_of
from poolwise.support import BadDefinition, UnknownDefinition

#: Modules of installed apps that may declare definitions.
DISCOVERED = ("jobs", "tasks")

_by_name: dict[str, Definition] = {}
_name_by_path: dict[str, str] = {}


def register(definition: Definition) -> Definition:
    """Add a definition, or replace the one that was declared at the same line.

    Raise BadDefinition if another function has its name.
    """
    known = _by_name.get(definition.name)
    if known is not None and _source(known) != _source(definition):
        raise BadDefinition(
            f"Two definitions are called {definition.name!r}: {_place(known)} and {_place(definition)}; "
            "give one of them another name with @job(name=...)."
        )
    _by_name[definition.name] = definition
    _name_by_path[definition.module_path] = definition.name
    return definition


def get(name: str) -> Definition:
    """Return the definition of this name. Raise UnknownDefinition that suggests close ones."""
    if (definition := _by_name.get(name)) is not None:
        return definition
    close = get_close_matches(name[:200], _by_name, n=3)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    raise UnknownDefinition(f"No job definition is called {name[:200]!r}.{hint}")


def find(name: str) -> Definition | None:
    """Return the definition of this name, or None."""
    return _by_name.get(name)


def resolve(name: str) -> Definition:
    """Return a definition in a worker; import a plain task outside `jobs` and `tasks` modules first.

    Only modules of installed apps are imported. Raise UnknownDefinition.
    """
    if name not in _by_name and apps.get_containing_app_config(name) is not None:
        try:
            task = import_string(name)
        except ImportError:
            return get(name)
        if isinstance(task, Task):
            return from_task(task)
    return get(name)


def all_definitions() -> list[Definition]:
    """Return every definition, by name."""
    return sorted(_by_name.values(), key=lambda definition: definition.name)


def from_task(task: "Task[Any, Any]") -> Definition:
    """Return the definition of a task; a plain `@task` function gets one at its first use, named by its path.

    Raise BadDefinition if its signature cannot be read.
    """
    name = _name_by_path.get(task.module_path)
    return _by_name[name] if name else register(definition_of(task))


def discover() -> None:
    """Import the `jobs` and `tasks` modules of every installed app and register the plain tasks in them."""
    autodiscover_modules(*DISCOVERED)
    for task in _tasks_in_apps():
        from_task(task)


def _tasks_in_apps() -> Iterator["Task[Any, Any]"]:
    names = [f"{config.name}.{module}" for config in apps.get_app_configs() for module in DISCOVERED]
    for module in filter(None, map(sys.modules.get, names)):
        yield from (value for value in vars(module).values() if isinstance(value, Task))


def _code(definition: Definition) -> Any:
    return getattr(definition.task_func, "__code__", None)


def _source(definition: Definition) -> tuple[str, str, int]:
    code = _code(definition)
    return definition.module_path, getattr(code, "co_filename", ""), getattr(code, "co_firstlineno", 0)


def _place(definition: Definition) -> str:
    return f"{definition.module_path} (line {_source(definition)[2]})"
