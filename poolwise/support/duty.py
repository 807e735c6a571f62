"""A periodic duty of the coordinator; each part of the platform hands in its own."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Pacing(NamedTuple):
    """What a duty may return to change when the loop acts next; any other value changes nothing."""

    #: Run the duty again after this time, if that is sooner than its interval.
    again_in_s: float | None = None
    #: Collect reports for this time before recording them.
    gather_s: float | None = None


NO_PACING = Pacing()


def _nothing(*_: object) -> None:
    pass


@dataclass(slots=True, eq=False)
class Duty:
    """A call every `every_s` seconds in the coordinator's loop; an error in one duty must not stop the others."""

    name: str
    every_s: float
    run: Callable[[], object]
    #: Called before the first run, and again after each outage with True.
    begin: Callable[[bool], object] = _nothing
    #: Called when the coordinator ends.
    stop: Callable[[], object] = _nothing
    #: Whether it also runs, before all others, each time something was recorded.
    after_recording: bool = False
    due_mono: float = 0.0
    pacing: Pacing = NO_PACING

    def run_now(self) -> None:
        """Run the duty and set when it is due next."""
        began_mono = time.monotonic()
        self.due_mono, self.pacing = began_mono + self.every_s, NO_PACING
        returned = self.run()
        if isinstance(returned, Pacing):
            self.pacing = returned
            if returned.again_in_s is not None:
                self.due_mono = min(self.due_mono, time.monotonic() + returned.again_in_s)


def due(duties: Sequence[Duty], *, has_recorded: bool) -> list[Duty]:
    """Return the duties to run now, in order."""
    first = [duty for duty in duties if duty.after_recording and has_recorded]
    now_mono = time.monotonic()
    return first + [duty for duty in duties if duty not in first and now_mono >= duty.due_mono]
