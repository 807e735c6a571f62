"""Redaction of what a job prints."""

import io
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import pytest

from poolwise.support.logs import LogBuffer, attempt_log
from poolwise.support.stdout_redaction import MaskedStream, mask_prints


@contextmanager
def printed(buffer: LogBuffer | None) -> Iterator[io.StringIO]:
    """The output while an attempt with this buffer runs."""
    stream = io.StringIO()
    with redirect_stdout(stream), redirect_stderr(stream):
        mask_prints()
        token = attempt_log.set(buffer)
        yield stream
        attempt_log.reset(token)


def attempt() -> LogBuffer:
    return LogBuffer(3, secrets=("canary\n1", "ab"))


def test_dots_replace_the_secrets_of_the_printing_attempt() -> None:
    with printed(attempt()) as stream:
        print("one", "canary\n1", "ab", ["canary\n1"])
        sys.stderr.writelines(["canary\n1", " two\n"])
        try:
            raise ValueError("canary\n1")
        except ValueError:
            traceback.print_exc()
    assert stream.getvalue().startswith("one •••••• ab ['••••••']\n•••••• two\nTraceback")
    assert stream.getvalue().endswith("ValueError: ••••••\n")


def test_output_outside_an_attempt_is_unchanged() -> None:
    with printed(None) as stream:
        print("canary\n1")
    assert stream.getvalue() == "canary\n1\n"


def test_a_stream_is_masked_once_and_is_otherwise_the_stream() -> None:
    with printed(attempt()):
        before = sys.stdout
        mask_prints()
        assert sys.stdout is before
        assert isinstance(before, MaskedStream)
        assert sys.stdout.write("canary\n1") == 8
        assert not sys.stdout.isatty()
        sys.stdout.flush()


def test_a_process_without_streams_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    mask_prints()
    assert sys.stdout is None
