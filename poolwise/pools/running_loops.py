"""The running event loop per greenlet: asyncio keeps it per thread, which all greenlets share."""

import asyncio
from asyncio import events, tasks
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import greenlet

type _Kept = tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]
_get: Callable[[], asyncio.AbstractEventLoop | None] = events._get_running_loop
_set: Callable[[asyncio.AbstractEventLoop | None], None] = events._set_running_loop


class RunningLoops:
    """Unsets the running loop when its greenlet is switched away from, and sets it again when it continues.

    Otherwise, while one job waits in `asyncio.run` or asgiref's `async_to_sync`, all other jobs of the worker would seem
    to be inside a running loop: none could start its own, and Django would refuse them the database.
    """

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[Any, _Kept] = WeakKeyDictionary()
        self._previous_hook: Any = None

    def install(self) -> None:
        """Begin on this thread; a trace function that was set before is still called."""
        self._previous_hook = greenlet.settrace(self._on_switch)

    def _on_switch(self, event: str, args: Any) -> None:
        if (loop := _get()) is not None:
            self._take(args[0], loop)
        if self._kept and (kept := self._kept.pop(args[1], None)) is not None:
            _restore(*kept)
        if self._previous_hook is not None:
            self._previous_hook(event, args)

    def _take(self, left: Any, loop: asyncio.AbstractEventLoop) -> None:
        task = asyncio.current_task(loop)
        if task is not None:  # it switched within a step, as a patched sleep does
            tasks._leave_task(loop, task)
        _set(None)
        self._kept[left] = (loop, task)


def _restore(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any] | None) -> None:
    _set(loop)
    if task is not None:
        tasks._enter_task(loop, task)
