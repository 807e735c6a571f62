"""Bad command lines: each is refused at once, with an error that names the argument, and stores nothing."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from poolwise.models import Comparison, Job

WAIT = "compare io.wait"
#: The command line, and a part of its error.
LINES: list[tuple[str, str]] = [
    ("compare", "Name a definition"), ("compare io.wiat", "io.wait"), ("compare nothing.like.it", "'nothing.like.it'"),
    ("compare io.wait extra", "unrecognized arguments: extra"), ("compare 'x y'", "'x y'"),
    (f"{WAIT} --pools gevnet", "'gevnet'"), (f"{WAIT} --pools threads,gevnet", "'gevnet'"),
    (f"{WAIT} --pools threads,threads", "each once"), (f"{WAIT} --pools auto", "'auto'"),
    (f"{WAIT} --pools coordinator", "'coordinator'"), (f"{WAIT} --pools thread\u0073\u200b", "no pool"),
    (f"{WAIT} --param duration_s", "NAME=VALUE"), (f"{WAIT} --param ''", "NAME=VALUE"),
    (f"{WAIT} --param duration_s=-1", "duration_s"), (f"{WAIT} --param duration_s=601", "duration_s"),
    (f"{WAIT} --param duration_s=soon", "duration_s"), (f"{WAIT} --param duration_s=", "duration_s"),
    (f"{WAIT} --param duration_s=null", "duration_s"), (f"{WAIT} --param duration_s=[1]", "duration_s"),
    (f"{WAIT} --param duration_s=NaN", "duration_s"), (f"{WAIT} --param duration_s=Infinity", "duration_s"),
    (f"{WAIT} --param seconds=1", "no such parameter"), (f"{WAIT} --param =1", "no such parameter"),
    (f"{WAIT} --copies 0", "copies: Choose 1 to"), (f"{WAIT} --copies -3", "copies"), (f"{WAIT} --copies 1001", "copies"),
    (f"{WAIT} --copies many", "invalid int value: 'many'"), (f"{WAIT} --copies 1.5", "invalid int value"),
    (f"{WAIT} --copies", "expected one argument"), (f"{WAIT} --rounds 0", "rounds: Choose 1 to"),
    (f"{WAIT} --rounds 101", "rounds"), (f"{WAIT} --rounds x", "invalid int value: 'x'"),
    (f"{WAIT} --seed x", "invalid int value: 'x'"), (f"{WAIT} --copies 1_000", "invalid int value: '1_000'"),
    (f"{WAIT} --rate 1_0", "invalid float value"), (f"{WAIT} --timeout 1_0", "invalid float value"),
    (f"{WAIT} --param duration_s=1_0", "duration_s: Input should be a valid number"),
    (f"{WAIT} --vary duration_s=1_0", "valid number"), (f"{WAIT} --max-regression 1_0%", "not a percentage"),
    ("submit io.wait --copies 1_0", "invalid int value"), ("submit io.wait --param duration_s=1_0", "duration_s"),
    (f"{WAIT} --baseline gevnet", "baseline: Choose one of the variants"),
    (f"{WAIT} --pools threads --baseline gevent", "baseline"), (f"{WAIT} --preset huge", "invalid choice: 'huge'"),
    (f"{WAIT} --in-flight 0", "in_flight: Choose at least 1"), (f"{WAIT} --in-flight x", "invalid int value"),
    (f"{WAIT} --rate 0", "arrival_rate_per_s"), (f"{WAIT} --rate -1", "arrival_rate_per_s"),
    (f"{WAIT} --rate 1e9", "arrival_rate_per_s"), (f"{WAIT} --rate nan", "arrival_rate_per_s"),
    (f"{WAIT} --rate fast", "invalid float value: 'fast'"), (f"{WAIT} --rate 1 --in-flight 1", "not both"),
    (f"{WAIT} --slots 0", "slots: Choose 1 to"), (f"{WAIT} --pools threads --slots 10001", "slots"),
    (f"{WAIT} --slots 9999", "each slot of a prefork pool is a process"), (f"{WAIT} --slots x", "invalid int value"),
    (f"{WAIT} --timeout soon", "invalid float value: 'soon'"), (f"{WAIT} --json /nowhere/f.json", "cannot be written"),
    (f"{WAIT} --bundle /nowhere/b.zip", "--bundle: /nowhere/b.zip cannot be written"),
    (f"{WAIT} --plot /nowhere/p.svg", "cannot be written"), (f"{WAIT} --plot p.gif", "must end in .svg or .png"),
    (f"{WAIT} --max-regression x", "not a percentage"), (f"{WAIT} --max-regression=-1%", "not a percentage"),
    ("compare --import /nowhere/b.zip", "/nowhere/b.zip"), ("compare --check /nowhere/b.zip", "/nowhere/b.zip"),
    ("compare --import {folder}", "Is a directory"), ("compare --import {text}", "Not a readable zip file"),
    ("compare --check {empty}", "Not a readable zip file"), ("compare io.sql_wait", "needs PostgreSQL"),
    ("pool", "the following arguments are required: name"), ("pool gevnet", "'gevnet'; JOB_POOLS has prefork"),
    ("pool ''", "no pool ''"), ("pool threads --concurrency 0", "from 1 to 10000"),
    ("pool threads --concurrency -1", "from 1 to"), ("pool threads --concurrency 10001", "from 1 to 10000"),
    ("pool threads --concurrency x", "invalid int value"), ("pool threads gevent", "unrecognized arguments: gevent"),
    ("hazard nothing", "Unknown hazard 'nothing'; choose one of"), ("hazard io.wait", "Unknown hazard"),
    ("hazard shared_counter --pools gevnet", "'gevnet'"), ("hazard shared_counter --param x", "NAME=VALUE"),
    ("hazard shared_counter --param x=1", "no such parameter"), ("hazard shared_counter --timeout x", "invalid float"),
    ("pool_status --wait x", "invalid float value: 'x'"), ("pool_status gevnet", "the pool gevnet"),
    ("demoserver --port x", "invalid int value: 'x'"), ("demoserver --port 65536", "choose another with --port"),
    ("demoserver --port -1", "choose another with --port"), ("demoserver --host no.such.host.invalid", "choose another"),
    ("coordinator extra", "unrecognized arguments: extra"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "text"), LINES, ids=[line for line, _ in LINES])
def test_a_bad_command_line(db: None, tmp_path: Any, own_keys: Any, line: str, text: str) -> None:
    (tmp_path / "text").write_text("no bundle")
    (tmp_path / "empty").touch()
    places = {"folder": tmp_path, "text": tmp_path / "text", "empty": tmp_path / "empty"}
    command, *arguments = [part.strip("'").format(**places) for part in line.split(" ") if part]
    if line == "compare io.sql_wait" and "postgresql" in _engine():
        pytest.skip("the job is available with PostgreSQL")
    with pytest.raises(CommandError) as caught:
        call_command(command, *_joined(line, arguments), stdout=StringIO(), stderr=StringIO())
    assert text in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert not Comparison.objects.exists()
    assert not Job.objects.exists()


def _joined(line: str, arguments: list[str]) -> list[str]:
    return ["x y"] if "'x y'" in line else arguments


def _engine() -> str:
    from django.conf import settings

    return str(settings.DATABASES["default"]["ENGINE"])
