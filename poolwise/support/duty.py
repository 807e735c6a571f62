"""Something that the coordinator does every so often; the parts of the platform hand theirs to it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Pacing(NamedTuple):
    """What a duty asks of the loop until it runs again; a duty that returns anything else asks nothing."""

    #: Run it again after so long, where that is sooner than its interval.
    again_in_s: float | None = None
    #: Let reports come together for so long before they are recorded.
    gather_s: float | None = None


NO_PACING = Pacing()


def _nothing(*_: object) -> None:
    pass


@dataclass(slots=True, eq=False)
class Duty:
    """A call every `every_s` seconds, in the coordinator's one loop; what it raises must not end the others."""

    name: str
    every_s: float
    run: Callable[[], object]
    #: Called before the first run and again after each outage, which it is told.
    begin: Callable[[bool], object] = _nothing
    #: Called when the coordinator ends.
    stop: Callable[[], object] = _nothing
    #: Whether it also runs, before all others, each time that something was recorded.
    after_recording: bool = False
    due_mono: float = 0.0
    pacing: Pacing = NO_PACING

    def run_now(self) -> None:
        """Run it, and note when it is due again."""
        began_mono = time.monotonic()
        self.due_mono, self.pacing = began_mono + self.every_s, NO_PACING
        answer = self.run()
        if isinstance(answer, Pacing):
            self.pacing = answer
            if answer.again_in_s is not None:
                self.due_mono = min(self.due_mono, time.monotonic() + answer.again_in_s)


def due(duties: Sequence[Duty], *, has_recorded: bool) -> list[Duty]:
    """Return the duties to run now, in order."""
    first = [duty for duty in duties if duty.after_recording and has_recorded]
    now_mono = time.monotonic()
    return first + [duty for duty in duties if duty not in first and now_mono >= duty.due_mono]
