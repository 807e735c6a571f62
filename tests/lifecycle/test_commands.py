"""Commands to workers: what this installation sent is obeyed once, and nothing else."""

import json
from typing import Any

import pytest

from poolwise.lifecycle import commands
from poolwise.lifecycle.commands import CommandFilter, signed_arguments
from poolwise.support import RefusedMessage
from poolwise.transport.remote_control import is_command

ARGUMENTS = {"task_id": "x", "terminate": True, "signal": None}


def sent(**changes: Any) -> dict[str, Any]:
    """Return the arguments of a command as a worker receives them, its seal changed."""
    given = json.loads(json.dumps(signed_arguments("revoke", ARGUMENTS, ["w1@h"])))
    given["seal"] |= changes
    return given  # type: ignore[no-any-return]


def test_a_command_comes_out_as_it_was_sent() -> None:
    assert CommandFilter().verified("revoke", sent(), "w1@h") == ARGUMENTS
    everywhere = signed_arguments("revoke", ARGUMENTS)
    assert CommandFilter().verified("revoke", everywhere, "any@h") == ARGUMENTS


FORGED: dict[str, tuple[Any, str]] = {
    "no seal": (lambda: ARGUMENTS, "not signed"),
    "a seal that is a list": (lambda: {**ARGUMENTS, "seal": []}, "not signed"),
    "a seal without time": (lambda: {**ARGUMENTS, "seal": {"signature": "x", "only": None}}, "not signed"),
    "another argument": (lambda: {**sent(), "task_id": "y"}, "signature is wrong"),
    "one more argument": (lambda: {**sent(), "more": 1}, "signature is wrong"),
    "to all": (lambda: sent(only=None), "signature is wrong"),
    "later": (lambda: sent(at=10**400), "signature is wrong"),
    "a signature that is none": (lambda: sent(signature=["x"]), "signature is wrong"),
}


@pytest.mark.parametrize("forge", FORGED)
def test_a_forged_command_is_refused_with_its_reason(forge: str) -> None:
    make, reason = FORGED[forge]
    with pytest.raises(RefusedMessage, match=reason):
        CommandFilter().verified("revoke", make(), "w1@h")


def test_a_command_is_for_one_name_for_its_workers_and_once() -> None:
    at_w1, given = CommandFilter(), sent()
    with pytest.raises(RefusedMessage, match="signature is wrong"):
        at_w1.verified("pool_grow", given, "w1@h")
    with pytest.raises(RefusedMessage, match="another worker"):
        CommandFilter().verified("revoke", given, "w2@h")
    at_w1.verified("revoke", given, "w1@h")
    with pytest.raises(RefusedMessage, match="obeyed before"):
        at_w1.verified("revoke", given, "w1@h")
    at_w1.verified("revoke", sent(), "w1@h")


def test_a_command_is_obeyed_only_for_some_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    at_w1, now = CommandFilter(), 1_000.0
    monkeypatch.setattr(commands, "wall_now", lambda: now)
    given, later = sent(), sent()
    at_w1.verified("revoke", given, "w1@h")
    now += commands.MAX_AGE_S + 1
    for old in (given, later):
        with pytest.raises(RefusedMessage, match="too old"):
            at_w1.verified("revoke", old, "w1@h")
    at_w1.verified("revoke", sent(), "w1@h")
    assert len(at_w1._obeyed_at) == 1


def test_commands_follow_a_change_of_the_key(settings: Any) -> None:
    given = sent()
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a new one", [settings.SECRET_KEY]
    assert CommandFilter().verified("revoke", given, "w1@h") == ARGUMENTS
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(RefusedMessage, match="signature is wrong"):
        CommandFilter().verified("revoke", given, "w1@h")


@pytest.mark.parametrize(
    "body",
    [None, 7, [], "text", {}, {"method": 1}, {"method": "ping", "arguments": ["x"]}, {"method": "ping", "destination": 7},
     {"method": "ping", "pattern": "(a+)+$", "matcher": "pcre"}, {"method": "ping", "reply_to": "x"},
     {"method": "ping", "reply_to": {"exchange": "x"}}],
    ids=str,
)  # fmt: skip
def test_what_kombu_cannot_handle_is_no_command(body: Any) -> None:
    assert not is_command(body, {})
    assert is_command({"method": "ping", "arguments": None, "destination": ["w1@h"]}, {})
    assert not is_command({"method": "ping"}, None)
