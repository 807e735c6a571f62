"""Replace secret parameters by dots in what a job prints, as in its logs."""

import sys
from collections.abc import Iterable
from typing import Any

from poolwise.support.logs import attempt_log
from poolwise.support.redaction import redacted


class MaskedStream:
    """A stream that redacts the secret parameters of the writing attempt in each text."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write the redacted text; return the length of the text."""
        buffer = attempt_log.get()
        self._stream.write(redacted(text, buffer.secrets) if buffer is not None else text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each text."""
        for line in lines:
            self.write(line)


def mask_prints() -> None:
    """Redact the standard streams of this process and its forks; output that bypasses `sys` stays as it is."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, MaskedStream):
            setattr(sys, name, MaskedStream(stream))
