"""What `make up` shows: the lines of all processes, each with its name, and those of some processes unchanged."""

import sys
from collections.abc import Callable, Collection
from typing import TextIO

from honcho.printer import Message, Printer


class Output:
    """A text stream that stops writing when its reader is gone: a closed terminal must not stop a clean end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream
        self._is_terminal = stream.isatty()

    def isatty(self) -> bool:
        """Return whether to use colours."""
        return self._is_terminal

    def has_reader(self) -> bool:
        """Return whether the output can still be read: the pipe is not broken, the terminal not closed."""
        return self._stream is not None and self._stream.isatty() == self._is_terminal

    def write(self, text: str) -> int:
        """Write while there is a reader."""
        self._try(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush while there is a reader."""
        self._try(lambda stream: stream.flush())

    def _try(self, action: Callable[[TextIO], object]) -> None:
        if self._stream is not None:
            try:
                action(self._stream)
            except (OSError, ValueError):
                self._stream = None


class Console(Printer):  # type: ignore[misc]
    """honcho's printer, which leaves the lines of the processes named `plain` alone."""

    def __init__(self, plain: Collection[str]) -> None:
        super().__init__(Output(sys.stdout))
        self._plain = plain
        self.last_plain = ""

    def write(self, message: Message) -> None:
        """Print one line."""
        if message.name in self._plain and isinstance(message.data, bytes):
            text = message.data.decode(errors="replace")
            self.last_plain = text.strip() or self.last_plain
            print(text, end="", file=self.output, flush=True)
        else:
            super().write(message)
