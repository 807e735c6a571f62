"""Submit one job at a time, in a system's environment: `python -m benchmarks.peers.light APP JOBS RATE`.

Prints a line of JSON: the seconds of each call, when each began on the monotonic clock, and the seconds until the
outcome was visible to this process, which looks every 5 ms.
"""

import json
import sys
import time
from importlib import import_module
from typing import Any

_LOOK_EVERY_S = 0.005
_TIMEOUT_S = 30.0


class Waiting:
    """Jobs without a visible outcome, and how long it took for the others."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.began: dict[Any, float] = {}
        self.visible_s: list[float] = []

    def look(self) -> None:
        if self.began:
            for job in self._app.stored(list(self.began)):
                self.visible_s.append(time.monotonic() - self.began.pop(job))

    def until(self, until_mono: float) -> None:
        self.look()  # even if the call took longer than there is between two jobs
        while (left_s := until_mono - time.monotonic()) > 0:
            time.sleep(min(_LOOK_EVERY_S, left_s))
            self.look()

    def until_none(self) -> None:
        until_mono = time.monotonic() + _TIMEOUT_S
        while self.began and time.monotonic() < until_mono:
            time.sleep(_LOOK_EVERY_S)
            self.look()


def main() -> None:
    """Submit a job to warm up, then the others at the rate."""
    name, jobs, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    app = import_module(f"benchmarks.peers.apps.{name}")
    waiting = Waiting(app)
    waiting.began[app.submit_one()] = time.monotonic()
    waiting.until_none()
    waiting.visible_s.clear()
    call_s, began_mono = [], []
    next_mono = time.monotonic()
    for _ in range(jobs):
        begin_mono = time.monotonic()
        job = app.submit_one()
        call_s.append(time.monotonic() - begin_mono)
        began_mono.append(begin_mono)
        waiting.began[job] = begin_mono
        next_mono += 1 / rate
        waiting.until(next_mono)
    waiting.until_none()
    print(json.dumps({"call_s": call_s, "began_mono": began_mono, "visible_s": waiting.visible_s}))


if __name__ == "__main__":
    main()
