import io
import json
import logging
import threading
from typing import Any

import pytest
import structlog
from django.http import HttpResponse
from django.test import RequestFactory

from poolwise.support.logs import (
    AttemptLogHandler,
    LogBuffer,
    RequestIdMiddleware,
    attempt_log,
    logging_config,
    thread_name,
)

FORGED = "ok\n2026-01-01T00:00:00Z [error    ] forged\r\x1b[31m\u2028"


@pytest.fixture
def output(request: pytest.FixtureRequest) -> Any:
    """Log through the formatter of a style, given as parameter, into a text."""
    config = logging_config(style=request.param, level="INFO")["formatters"]["poolwise"]
    formatter = config.pop("()")(**config)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger = logging.getLogger("tests.logs")
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield stream
    logger.removeHandler(handler)


console = pytest.mark.parametrize("output", ["console"], indirect=True)
as_json = pytest.mark.parametrize("output", ["json"], indirect=True)
both = pytest.mark.parametrize("output", ["console", "json"], indirect=True)


def test_the_error_of_an_unknown_style_or_level_lists_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="LOG_FORMAT must be one of console, json, not 'xml'"):
        logging_config(style="xml", level="INFO")
    with pytest.raises(ValueError, match=r"LOG_LEVEL must be one of DEBUG, INFO, .* not 'loud'"):
        logging_config(style="json", level="loud")


@as_json
def test_a_json_line_has_the_event_its_values_and_its_place(output: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r-1", job="j"):
        structlog.get_logger("tests.logs").info("happened", count=3)
        logging.getLogger("tests.logs").warning("plain %s", "text")
    first, second = map(json.loads, output.getvalue().splitlines())
    assert (first["event"], first["count"], first["level"], first["logger"]) == (
        "happened",
        3,
        "info",
        "tests.logs",
    )
    assert (second["event"], second["level"]) == ("plain text", "warning")
    for line in (first, second):
        assert (line["request_id"], line["job"], line["thread"]) == ("r-1", "j", "MainThread")
        assert line["pid"]
        assert line["timestamp"].endswith("Z")


@as_json
def test_a_traceback_and_an_object_stay_within_their_json_line(output: io.StringIO) -> None:
    try:
        raise ValueError(FORGED)
    except ValueError:
        structlog.get_logger("tests.logs").exception("failed", thing={1, 2}, other=object)
    [line] = output.getvalue().splitlines()
    assert "ValueError" in json.loads(line)["exception"]


@both
def test_no_text_can_forge_a_line(output: io.StringIO) -> None:
    logger = structlog.get_logger("tests.logs")
    logger.info("event", value=FORGED)
    logger.info(FORGED)
    logger.info("nested", values=[FORGED], named={"a": FORGED})
    logging.getLogger("tests.logs").info("plain %s", FORGED)
    with structlog.contextvars.bound_contextvars(request_id=FORGED):
        logger.info("context")
    lines = output.getvalue().splitlines()
    assert len(lines) == 5
    assert not any(line.startswith("2026-01-01") for line in lines)
    assert "\x1b" not in output.getvalue()


@console
def test_a_traceback_keeps_its_lines_on_a_console(output: io.StringIO) -> None:
    try:
        raise ValueError("no good")
    except ValueError:
        structlog.get_logger("tests.logs").exception("failed")
    assert len(output.getvalue().splitlines()) > 3
    assert "ValueError: no good" in output.getvalue()


# --- the lines of an attempt ----------------------------------------------------------------------------
class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


@pytest.fixture
def buffer() -> Any:
    """The buffer of an attempt in this thread."""
    token = attempt_log.set(LogBuffer(3))
    yield attempt_log.get()
    attempt_log.reset(token)


def emit(message: Any, *args: Any) -> None:
    AttemptLogHandler().emit(logging.LogRecord("n", logging.INFO, "p", 1, message, args, None))


def test_lines_are_kept_to_the_limit_with_their_level_and_time(buffer: LogBuffer) -> None:
    for number in range(5):
        emit("line %d", number)
    assert [(level, text) for _, level, text in buffer.lines] == [("info", f"line {n}") for n in range(3)]
    assert buffer.dropped == 2


@pytest.mark.parametrize(
    ("message", "args"), [("%s", (Unprintable(),)), ("%d", ("x",)), ({"event": "e", "a": Unprintable()}, ())]
)
def test_a_line_that_cannot_be_shown_does_not_fail_the_body(
    buffer: LogBuffer, message: Any, args: Any
) -> None:
    emit(message, *args)
    assert "cannot be shown" in buffer.lines[0][2]


def test_outside_an_attempt_nothing_is_kept() -> None:
    assert attempt_log.get() is None
    emit("line")


def test_another_thread_is_another_attempt(buffer: LogBuffer) -> None:
    thread = threading.Thread(target=emit, args=("elsewhere",))
    thread.start()
    thread.join()
    assert buffer.lines == []


def test_a_thread_has_its_name() -> None:
    assert thread_name() == "MainThread"


# --- the request's id -----------------------------------------------------------------------------------
def ask(given: str | None) -> tuple[str, str, dict[str, Any]]:
    seen: dict[str, Any] = {}

    def respond(request: Any) -> HttpResponse:
        seen.update(structlog.contextvars.get_contextvars())
        return HttpResponse(request.request_id)

    headers = {} if given is None else {"X-Request-ID": given}
    response = RequestIdMiddleware(respond)(RequestFactory().get("/", headers=headers))
    return response.content.decode(), response["X-Request-ID"], seen


@pytest.mark.parametrize("given", ["abc", "a.b_c-1", "x" * 64])
def test_a_valid_request_id_is_kept(given: str) -> None:
    content, header, seen = ask(given)
    assert content == header == seen["request_id"] == given
    assert "request_id" not in structlog.contextvars.get_contextvars()


@pytest.mark.parametrize(
    "given", [None, "", "x" * 65, "a b", "a\nb", "a\n", "<script>", "ä", '{"a":1}', "a;b"]
)
def test_a_missing_or_invalid_request_id_is_replaced(given: str | None) -> None:
    content, header, _ = ask(given)
    assert content == header != given
    assert len(header) == 32
    assert ask(given)[1] != header
