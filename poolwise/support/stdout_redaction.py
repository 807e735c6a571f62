"""What a job prints: dots stand in the place of its secret parameters, as in what it logs."""

import sys
from collections.abc import Iterable
from typing import Any

from poolwise.support.logs import attempt_log
from poolwise.support.redaction import redacted


class MaskedStream:
    """A stream that keeps the secret parameters of the attempt that writes out of each text written."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write the text, and return its length."""
        buffer = attempt_log.get()
        self._stream.write(redacted(text, buffer.secrets) if buffer is not None else text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each text."""
        for line in lines:
            self.write(line)


def mask_prints() -> None:
    """Have this process, and those that it forks, print through masks; what prints around `sys` is not seen."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, MaskedStream):
            setattr(sys, name, MaskedStream(stream))
