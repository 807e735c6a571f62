"""`make up` in a copy of the project: from nothing to the address, and to nothing again."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from dev.ports import free_port
from poolwise.support import is_running
from tests import ROOT
from tests.helpers.pace import limit_s

pytestmark = pytest.mark.slow

SETTINGS = ("REDIS_URL", "DATABASE_URL", "JOB_FILES_DIR", "DJANGO_SETTINGS_MODULE")
#: Two comparisons of 10 s each, and the start of all processes on a machine that runs other tests beside.
READY_S = 180

STUB = """
import os, signal, subprocess, sys, time
signals = []
signal.signal(signal.SIGTERM, lambda *_: signals.append("TERM"))
signal.signal(signal.SIGINT, lambda *_: signals.append("INT"))
print("up", flush=True)
while not signals:
    time.sleep(0.02)
time.sleep(float(sys.argv[1]))
print("received", *signals, flush=True)
"""
RUN = """
import os, sys
from pathlib import Path
from dev.processes import Platform
platform = Platform(os.environ)
platform.add_procfile(Path(sys.argv[1]))
needed = Path(sys.argv[1]).with_name("needed")
needed.touch()
platform.need("redis", needed.exists)
status = platform.run()
print(platform.reason())
sys.exit(status)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for folder in ("dev", "jobs", "poolwise", "project"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("manage.py", "Procfile"):
        shutil.copy(ROOT / file, tmp_path)
    return tmp_path


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={**inherited, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def read_until(process: subprocess.Popen[str], text: str, times: int = 1) -> str:
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        times -= text in line
        if times == 0:
            break
    return "".join(lines)


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """End the process and its family after the block, whatever fails in it."""
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


@pytest.fixture
def stubs(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A platform of four small processes: two workers, one with a job to end, a coordinator, a demo server."""
    (tmp_path / "stub.py").write_text(STUB)
    last_output_s = {"threads": 0.3, "gevent": 2.5, "coordinator": 0.3, "demo": 0.3}
    lines = (f"{name}: exec {sys.executable} stub.py {s}\n" for name, s in last_output_s.items())
    (tmp_path / "Procfile").write_text("".join(lines))
    process = start(ROOT, "-c", RUN, str(tmp_path / "Procfile"))
    read_until(process, "| up", times=4)
    with ended(process):
        yield process


def test_each_process_is_signalled_once_and_workers_end_first(stubs):
    os.killpg(stubs.pid, signal.SIGINT)
    lines = stubs.communicate(timeout=20)[0].splitlines()
    signalled = [line.split()[1] for line in lines if line.endswith("received TERM")]
    assert signalled[:2] == ["threads", "gevent"]
    assert sorted(signalled) == ["coordinator", "demo", "gevent", "threads"]
    assert stubs.returncode == 0


def test_a_process_that_ends_by_itself_ends_all_and_is_named(stubs):
    worker = next(p for p in psutil.Process(stubs.pid).children(recursive=True) if "stub.py" in p.cmdline())
    worker.kill()
    output = stubs.communicate(timeout=20)[0]
    assert stubs.returncode == 1
    assert "ended by itself; see its last lines above." in output


def test_the_platform_ends_when_its_redis_has_gone_and_says_so(stubs, tmp_path):
    (tmp_path / "needed").unlink()
    output = stubs.communicate(timeout=20)[0]
    assert stubs.returncode == 1
    assert "poolwise: redis ended by itself" in output


def test_killing_the_platform_leaves_nothing_behind(stubs):
    family = psutil.Process(stubs.pid).children(recursive=True)
    stubs.kill()
    assert psutil.wait_procs(family, timeout=10)[1] == []


@pytest.mark.parametrize("output", ["", " >/dev/null 2>&1"])
def test_what_a_process_leaves_running_keeps_nothing_waiting_and_ends(tmp_path, output):
    (tmp_path / "stub.py").write_text(STUB)
    left = f"setsid sh -c \"trap '' TERM; sleep 90{output} & echo left \\$!\""
    (tmp_path / "Procfile").write_text(f"threads: {left}; exec {sys.executable} stub.py 0.1\n")
    with ended(start(ROOT, "-c", RUN, str(tmp_path / "Procfile"))) as process:
        pid = int(read_until(process, "| left").split()[-1])
        read_until(process, "| up")
        assert is_running(psutil.Process(pid))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 0
        assert not psutil.pid_exists(pid) or not is_running(psutil.Process(pid))


@pytest.fixture
def made_up(project: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`make up` in the copy, just started, and its port."""
    port = free_port()
    with ended(start(project, "-m", "dev.up", PORT=str(port))) as process:
        yield process, port


@pytest.mark.services
@pytest.mark.timeout(READY_S + 120)
def test_make_up_leads_from_nothing_to_the_address_and_ctrl_c_to_nothing(project, made_up):
    (process, port), began = made_up, time.monotonic()
    output = read_until(process, "Ctrl-C stops it", times=2)
    assert time.monotonic() - began < limit_s(READY_S)
    assert f"Poolwise is ready: http://127.0.0.1:{port}/" in output
    assert output.count("Comparing the pools on") == 2
    with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
        assert answer.status == 200
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert "Poolwise has stopped." in rest
    assert "Traceback" not in output + rest
    assert psutil.wait_procs(family, timeout=1)[1] == []
    assert {path.name for path in project.iterdir()} <= {
        "var",
        "dev",
        "jobs",
        "poolwise",
        "project",
        "manage.py",
        "Procfile",
    }
