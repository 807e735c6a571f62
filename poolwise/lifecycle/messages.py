"""A job's message: signed when it is published, verified before a worker uses any of it."""

import reprlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from poolwise.support import RefusedMessage, compact_json, signing

#: The one Celery task that Poolwise's workers run.
TASK = "poolwise.run"
HEADER = "poolwise"
_MAX_ATTEMPT = 100_000


class Verified(NamedTuple):
    """What a message of this installation says. Nothing else of it is used: other headers are not signed."""

    job_id: str
    attempt: int
    definition: str
    params: str  # JSON text
    published_at: float
    request_id: str
    #: The hard and the soft time limit in seconds, or None for each.
    limits: list[float | None]


def signed_options(
    job_id: str, attempt: int, definition: str, params: Mapping[str, Any], *, published_at: float,
    request_id: str = "", soft_time_limit_s: float | None = None, time_limit_s: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return the options of `send_task` for one attempt; times are POSIX seconds and seconds."""
    # As text: kombu's decoder would replace {"__type__": …} within parameters by a value of its own.
    text = compact_json.dumps(params)
    header = {"attempt": attempt, "published_at": published_at, "request_id": request_id}
    limits = [time_limit_s, soft_time_limit_s]
    header["signature"] = signing.sign(
        signing.MESSAGE, _signed_text(job_id, definition, text, header, limits)
    )
    return {
        "args": (definition, text),
        "task_id": job_id,
        "shadow": definition,
        "headers": {HEADER: header},
        "argsrepr": f"({definition!r},)",  # else Celery writes all parameters there, secret ones too
        "kwargsrepr": "{}",
        "soft_time_limit": soft_time_limit_s,
        "time_limit": time_limit_s,
    }


# Workers of the release before refuse a message whose signature covers more: a new field is not signed at first.
def _signed_text(job_id: str, definition: str, text: str, header: Mapping[str, Any], limits: Any) -> str:
    signed = [
        job_id,
        definition,
        text,
        limits,
        header["attempt"],
        header["published_at"],
        header["request_id"],
    ]
    return compact_json.dumps(signed)


def verified(message: Any) -> Verified:
    """Return what a received message says, once its signature is checked. Raise RefusedMessage."""
    headers = message.headers if isinstance(message.headers, dict) else {}
    if (task := headers.get("task")) != TASK:
        raise RefusedMessage(f"its task is {reprlib.repr(task)}; only {TASK} runs here")
    definition, text = _body(message)
    header, limits, job_id = headers.get(HEADER), headers.get("timelimit"), headers.get("id")
    if not isinstance(header, dict) or "signature" not in header:
        raise RefusedMessage("it is not signed")
    if not _is_well_formed(header, limits, job_id):
        raise RefusedMessage("its headers are malformed")
    signed = _signed_text(str(job_id), definition, text, header, limits)
    if not signing.is_signed(signing.MESSAGE, signed, header["signature"]):
        raise RefusedMessage(
            "its signature is wrong: it was not published by this installation, or changed since"
        )
    return Verified(
        str(job_id),
        header["attempt"],
        definition,
        text,
        header["published_at"],
        header["request_id"],
        limits or [],
    )


def _body(message: Any) -> tuple[str, str]:
    """Return definition and parameters. Raise RefusedMessage."""
    if message.content_type != "application/json" or str(message.content_encoding).lower() != "utf-8":
        kind = f"{reprlib.repr(message.content_type)} in {reprlib.repr(message.content_encoding)}"
        raise RefusedMessage(f"its body is {kind}, not application/json in 'utf-8'")
    try:
        # Not by kombu, whose decoder would replace {"__type__": …} by a value of its own.
        args, kwargs, embed = compact_json.loads(message.body)
        definition, text = args
        is_plain = not kwargs and not any(embed.values())
    except Exception as error:  # a decoder may raise anything for a forged body
        raise RefusedMessage(f"its body cannot be read ({type(error).__name__})") from error
    if not isinstance(definition, str) or not isinstance(text, str) or not is_plain:
        raise RefusedMessage("its body is not a definition and its parameters")
    return definition, text


def _is_well_formed(header: Mapping[str, Any], limits: Any, job_id: object) -> bool:
    attempt, published_at = header.get("attempt"), header.get("published_at")
    return (
        isinstance(job_id, str)
        and type(attempt) is int
        and 1 <= attempt <= _MAX_ATTEMPT
        and isinstance(published_at, float | int)
        and isinstance(header.get("request_id"), str)
        and isinstance(limits, list)
    )
